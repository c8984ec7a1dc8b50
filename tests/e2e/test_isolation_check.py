"""`penguinmails isolation check`, on the real installation and on one that is broken on purpose."""

import asyncio
import json
import os
import re
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from penguinmails.stack import Stack
from tests.e2e.broken_gateway import broken_gateway

Json = dict[str, Any]
PATIENCE = 560

FLOORS = {
    "set_up": 80,
    "foreign_path": 120,
    "foreign_body": 10,
    "foreign_query": 5,
    "named_tenant": 180,
    "search": 60,
    "cursors": 18,
    "idempotency": 14,
    "tokens": 500,
    "headers": 500,
    "paths": 300,
    "overrides": 30,
    "public": 9,
    "controls": 12,
    "unchanged": 24,
    "audit_own": 220,
    "audit_victim": 220,
    "clean_up": 40,
}

BREAKS = {
    "B's token answers": ("foreign_path", "getTemplate", "status 200"),
    "a name in a header": ("foreign_path", "getList", "header x-owner"),
    "another body": ("foreign_path", "getContact", "another body"),
    "no signature": ("tokens", "listDomains", "status 200 where 401 belongs"),
    "a trusted header": ("named_tenant", "listCampaigns", "the marker in names"),
    "keys without tenant": ("idempotency", "createWorkspace", "answered as a replay"),
    "deleted in silence": ("unchanged", "listInvitations", "it was"),
}
"""What the proxy breaks: family, operation and reason that must name it."""
BROKEN = {operation for _, operation, _ in BREAKS.values()} | {"revokeInvitation"}
WHOLE = ("getCampaign", "getDomain", "getWorkspace", "getUser", "createContact", "resetPassword")


async def run(home: Path, *words: str) -> tuple[int, str, str]:
    """Exit status, output and messages of `penguinmails isolation check …`."""
    process = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).with_name("penguinmails")),
        "isolation",
        "check",
        *words,
        env={**os.environ, "PENGUINMAILS_HOME": str(home), "TERM": "dumb"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, messages = await asyncio.wait_for(process.communicate(), PATIENCE)
    return process.returncode or 0, output.decode(), messages.decode()


@pytest.fixture(scope="session")
async def whole(stack: Stack) -> Json:
    """The report on the running stack, which needs no address."""
    status, output, messages = await run(stack.home.root, "--json")
    assert "two throw-away tenants" in messages, "said before it is done"
    report: Json = json.loads(output)
    assert status == report["exit_status"]
    return report


@pytest.fixture(scope="session")
async def broken(stack: Stack) -> Json:
    """The report on what the proxy before the same stack breaks, and on some that it leaves whole."""
    only = [word for name in (*BROKEN, *WHOLE) for word in ("--only", name)]
    async with broken_gateway(stack.env()["gateway"]) as address:
        status, output, messages = await run(
            stack.home.root, "--json", "--audit-wait", "2", "--against", f"{address}/api/v1/", *only
        )
    assert status == 1, messages + output
    report: Json = json.loads(output)
    return report


def test_everything_holds_on_the_running_stack(whole: Json) -> None:
    assert whole["broken"] == []
    assert whole["stopped"] is None
    assert whole["exit_status"] == 0, [each for each in whole["operations"] if each["not_tried"]]


@pytest.mark.parametrize("family", FLOORS)
def test_every_family_tries_enough(whole: Json, family: str) -> None:
    tally = whole["families"][family]
    assert tally["tried"] >= FLOORS[family]
    assert (tally["held"], tally["broke"]) == (tally["tried"], 0)


async def test_every_operation_of_the_document_is_accounted_for(whole: Json, stack: Stack) -> None:
    async with httpx.AsyncClient(base_url=stack.env()["gateway"]) as http:
        document = (await http.get("/openapi.json")).json()
    named = {
        operation["operationId"]
        for item in document["paths"].values()
        for operation in item.values()
        if isinstance(operation, dict) and "operationId" in operation
    }
    accounts = {each["operation"]: each for each in whole["operations"]}
    assert accounts.keys() == named
    left_out = {name for name, account in accounts.items() if account["reason"]}
    assert left_out == {"createTenant", "logOut"}
    assert all(account["attempts"] for name, account in accounts.items() if name not in left_out)


def test_it_says_what_remains(whole: Json) -> None:
    assert len(whole["remains"]) == 2, "everything but the tenants themselves is gone"
    for label, tenant in whole["tenants"].items():
        assert any(left.startswith(f"tenant {label} {tenant}: its deletion") for left in whole["remains"])


@pytest.mark.parametrize("name", BREAKS)
def test_each_break_is_found_and_named(broken: Json, name: str) -> None:
    family, operation, reason = BREAKS[name]
    found = [each for each in broken["broken"] if (each["family"], each["operation"]) == (family, operation)]
    assert any(reason in why for each in found for why in each["why"]), broken["broken"]
    assert all(each["curl"].startswith("curl -i --path-as-is -X ") for each in found)


def test_what_is_whole_is_not_called_broken(broken: Json) -> None:
    for family in ("foreign_body", "foreign_query", "public"):
        assert broken["families"][family]["broke"] == 0, family
    assert not {each["operation"] for each in broken["broken"]} & {*WHOLE}
    accounts = {each["operation"]: each for each in broken["operations"]}
    assert all(accounts[name]["attempts"] for name in WHOLE)


def test_what_was_not_asked_for_is_left_out_in_words(broken: Json) -> None:
    left_out = [each for each in broken["operations"] if each["reason"] == "not named by --only"]
    assert {"listUsers", "getTenantUsage"} <= {each["operation"] for each in left_out}
    assert not any(each["attempts"] or each["not_tried"] for each in left_out)


def test_no_token_is_in_a_report(whole: Json, broken: Json) -> None:
    """Cursors and bare claims begin alike, but no token is without its dots."""
    assert not re.search(r"eyJ[\w-]+\.eyJ", json.dumps([whole, broken]))


async def test_an_address_where_nobody_listens_is_said_plainly(stack: Stack) -> None:
    for address in ("http://127.0.0.1:1", f"{stack.env()['gateway']}/nothing"):
        status, output, _ = await run(stack.home.root, "--against", address)
        assert status == 2
        assert f"{address} has no usable OpenAPI document" in " ".join(output.split()), output
    status, _, messages = await run(stack.home.root, "--against", "localhost:8080")
    assert status == 2
    assert "begins with http:// or https://" in messages


async def test_an_operation_that_is_none_is_said_plainly(stack: Stack) -> None:
    status, output, _ = await run(stack.home.root, "--only", "getCampain")
    assert status == 2
    assert "has no operation getCampain" in " ".join(output.split())


async def test_it_can_only_say_what_it_would_do(stack: Stack) -> None:
    status, output, messages = await run(stack.home.root, "--dry-run")
    assert (status, output) == (0, "")
    assert stack.config.url("gateway") in "".join(messages.split())
