"""The command `penguinmails` on the running stack, as a newcomer types it."""

import asyncio
import json
import os
import re
import shlex
import sys
from pathlib import Path

import asyncpg
import httpx
import pytest

from penguinmails.stack import Stack
from tests.e2e.client import Platform, Tenant

TOKEN = re.compile(r"^ey[\w-]+\.[\w-]+\.[\w-]+$", re.MULTILINE)


async def run(stack: Stack, *words: str) -> tuple[int, str]:
    """Exit status and output of `penguinmails …` on the stack."""
    command = Path(sys.executable).with_name("penguinmails")
    environment = {**os.environ, "PENGUINMAILS_HOME": str(stack.home.root), "COLUMNS": "200", "TERM": "dumb"}
    process = await asyncio.create_subprocess_exec(
        str(command),
        *words,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await asyncio.wait_for(process.communicate(), 90)
    return process.returncode or 0, output.decode()


async def test_up_says_it_is_running_and_its_lines_work_when_pasted(stack: Stack, tmp_path: Path) -> None:
    status, output = await run(stack, "up")
    assert status == 0, output
    assert "Already running" in output
    token = TOKEN.search(output)
    assert token, output
    lines = [line for line in output.splitlines() if line.startswith("curl ")]
    assert len(lines) == 3
    for line in lines:
        process = await asyncio.create_subprocess_shell(
            f"{line} -o {shlex.quote(str(tmp_path / 'answer'))} -w '%{{http_code}}'",
            stdout=asyncio.subprocess.PIPE,
        )
        printed, _ = await process.communicate()
        assert printed.decode() in ("200", "201"), line


async def test_every_address_that_up_prints_answers(stack: Stack) -> None:
    _, output = await run(stack, "up")
    addresses = re.findall(r"^(?:reference|OpenAPI)\s+(http\S+)", output, re.MULTILINE)
    assert len(addresses) == 2, output
    async with httpx.AsyncClient() as http:
        for address in addresses:
            assert (await http.get(address)).status_code == 200, address


async def test_demo_plays_the_story_to_its_end(stack: Stack) -> None:
    status, output = await run(stack, "demo")
    assert status == 0, output
    for expected in (
        "logged in",
        "404",
        "403",
        "cross_tenant_attempt",
        "external",
        "gateway",
        "process penguinmails.access",
    ):
        assert expected in output, output


async def test_env_names_what_a_client_needs(stack: Stack) -> None:
    status, output = await run(stack, "env", "--json")
    assert status == 0
    printed = json.loads(output)
    assert printed.keys() >= {
        "gateway",
        "kafka",
        "mail_dir",
        "stripe",
        "traces",
        "postgres",
        "services",
        "pids",
    }
    assert printed["postgres"]["campaigns"].keys() >= {"app", "owner"}
    assert printed["services"].keys() == {"auth", "tenants", "workspaces", "campaigns", "audit"}
    assert all(isinstance(pid, int) for pids in printed["pids"].values() for pid in pids)
    async with httpx.AsyncClient() as http:
        for url in printed["services"].values():
            assert (await http.get(f"{url}/health/ready")).status_code == 200


async def test_status_lists_every_process(stack: Stack) -> None:
    status, output = await run(stack, "status")
    assert status == 0
    for name in (
        "postgres",
        "kafka",
        "envoy",
        "mail",
        "stripe",
        "valkey",
        "collector",
        "auth",
        "audit",
        "supervisor",
    ):
        assert name in output


async def test_status_tells_programs_how_every_process_and_its_events_are(stack: Stack) -> None:
    status, output = await run(stack, "status", "--json")
    assert status == 0, output
    told = json.loads(output)
    assert told["ready"] is True
    processes = {process["name"]: process for process in told["processes"]}
    assert all(process["version"] for process in processes.values()), processes
    for name in ("auth", "audit"):
        assert processes[name]["memory"] > 1 << 20
        assert processes[name]["uptime_seconds"] > 0
        assert processes[name]["events"]["outbox"]["rows"] >= 0
        assert processes[name]["events"]["consumers"]


async def test_doctor_finds_nothing_wrong_with_a_running_stack(stack: Stack) -> None:
    status, output = await run(stack, "doctor", "--json")
    assert status == 0, output
    told = json.loads(output)
    assert told["running"] is True
    assert {"programs", "keys", "readiness", "clocks", "schemas", "secrets"} <= set(told["checks"])


async def test_logs_of_one_trace_and_tenant(stack: Stack, platform: Platform, tenant: Tenant) -> None:
    answer = await platform.get(tenant, "/auth/me")
    words = ("--trace", answer.headers["X-Trace-Id"][:12], "--tenant", tenant.tenant_id, "--json")
    status, output = await run(stack, "logs", "auth", *words)
    (line,) = (json.loads(line) for line in output.splitlines())
    assert (status, line["trace_id"]) == (0, answer.headers["X-Trace-Id"])
    assert (line["process"], line["route"]) == ("auth", "/api/v1/auth/me")
    status, output = await run(stack, "logs", "--level", "loud")
    assert (status, "no level" in output) == (2, True), output


async def test_signing_keys_are_listed(stack: Stack) -> None:
    status, output = await run(stack, "keys", "list", "--json")
    assert status == 0, output
    assert [key["status"] for key in json.loads(output)] == ["active"]


async def test_secrets_have_the_current_encryption_key(stack: Stack) -> None:
    status, output = await run(stack, "keys", "reseal")
    assert (status, "auth signing_keys.private_key: 0 sealed again" in output) == (0, True), output
    status, output = await run(stack, "keys", "sealed", "--json")
    assert {one["key"] for one in json.loads(output)} == {"current"}, output


async def test_a_secret_that_does_not_open_keeps_none_of_another_service_from_its_new_key(
    stack: Stack,
) -> None:
    connection = await asyncpg.connect(stack.config.dsn("postgres", "auth"))
    try:
        await connection.execute(
            "INSERT INTO auth.signing_keys (tenant_id, kid, status, public_jwk, private_key, retired_at) "
            "SELECT tenant_id, 'broken', 'retired', public_jwk, 'nonsense', now() "
            "FROM auth.signing_keys LIMIT 1"
        )
        status, output = await run(stack, "keys", "reseal")
    finally:
        await connection.execute("DELETE FROM auth.signing_keys WHERE kid = 'broken'")
        await connection.close()
    assert (status, "broken cannot be decrypted" in output) == (1, True), output
    assert "campaigns dkim_keys.private_key: 0 sealed again" in output, output


@pytest.mark.parametrize("words", [("trace",), ("mail", "list"), ("logs", "auth")])
async def test_looking_inside(
    stack: Stack, platform: Platform, tenant: Tenant, words: tuple[str, ...]
) -> None:
    answer = await platform.get(tenant, "/auth/me")
    arguments = (*words, answer.headers["X-Trace-Id"]) if words == ("trace",) else words
    status, output = await run(stack, *arguments)
    assert status == 0, output
    assert {"trace": "auth GET", "mail": "Welcome", "logs": "request"}[words[0]] in output, output
