"""Each fault that `penguinmails doctor` knows, made on purpose."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import asdict
from pathlib import Path

import asyncpg
import pytest
import typer

from penguinmails import credentials, files, identity, ports, state
from penguinmails.binaries import BinaryMissing
from penguinmails.doctor import belongings, machine, running
from penguinmails.doctor.command import collect, doctor, examine
from penguinmails.doctor.problems import Level, Problem
from penguinmails.home import Home
from penguinmails.stack import Stack
from penguinmails.state import Process, State, Status


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A stack that was prepared and never started."""
    home = Home(tmp_path / "home")
    home.make()
    credentials.load_or_make(home.secrets)
    home.postgres_data.mkdir(mode=0o700)
    (home.postgres_data / "PG_VERSION").write_text("18\n")
    return home


def only(found: Iterator[Problem], *words: str) -> Problem:
    """The one problem, which names all the words and a way out."""
    (problem,) = found
    assert all(word in problem.what for word in words), problem
    assert problem.mend
    return problem


def test_nothing_is_wrong_with_a_good_machine_and_home(home: Home) -> None:
    checks = [machine.python(), machine.programs(), machine.shared_memory(), machine.disk(home.root)]
    checks += [
        belongings.folder(home),
        belongings.data(home),
        belongings.keys(home),
        belongings.remains(home),
    ]
    assert [problem for found in checks for problem in found] == []


def test_an_old_python() -> None:
    assert "PYTHON=" in only(machine.python((3, 10, 4)), "3.10.4").mend


def test_missing_small_foreign_and_broken_programs(tmp_path: Path) -> None:
    def missing() -> Path:
        raise BinaryMissing("the package envoy is not installed")

    only(machine.programs({"envoy": missing}), "not installed")
    program = tmp_path / "envoy"
    program.write_text("#!/bin/sh\nexec docker run envoy\n")
    only(machine.programs({"envoy": lambda: program}), "too small")
    program.write_bytes(b"\x7fELF" + bytes(1 << 17))
    program.chmod(0o755)
    only(machine.programs({"envoy": lambda: program}), "does not start", "architecture")
    program.write_text("#!/bin/sh\necho 'libfoo.so.1 is missing' >&2\nexit 127\n" + "#" * (1 << 17))
    only(machine.programs({"envoy": lambda: program}), "does not start", "libfoo.so.1")


def test_too_little_memory_disk_and_shared_memory(tmp_path: Path) -> None:
    assert only(machine.memory(300 << 20), "300 MiB").level is Level.WARNING
    only(machine.disk(tmp_path / "not" / "yet", needed=1 << 60), "MiB are free")
    only(machine.shared_memory(tmp_path / "none"), "missing or read-only")
    only(machine.shared_memory(tmp_path, needed=1 << 60), "MiB free")


def test_a_folder_that_is_somebody_elses_or_closed(
    home: Home, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: home.root.stat().st_uid + 1)
    only(belongings.folder(home), "belongs to user")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr("penguinmails.privileges.has_passage", lambda: False)
    tmp_path.chmod(0o700)
    found = [problem for problem in belongings.folder(home) if "may not pass" in problem.what]
    assert f"chmod o+x {tmp_path}" in [problem.mend for problem in found]
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert any("cannot be written" in problem.what for problem in belongings.folder(home))


def test_a_database_cut_off_of_another_version_or_open(home: Home) -> None:
    version = home.postgres_data / "PG_VERSION"
    home.postgres_data.chmod(0o755)
    only(belongings.data(home), "open to others")
    home.postgres_data.chmod(0o700)
    version.write_text("17\n")
    only(belongings.data(home), "PostgreSQL 17")
    version.unlink()
    assert "reset" in only(belongings.data(home), "cut off").mend


def test_keys_missing_damaged_incomplete_or_readable(home: Home) -> None:
    home.secrets.chmod(0o644)
    assert only(belongings.keys(home), "read by others").mend == f"chmod 600 {home.secrets}"
    whole = asdict(credentials.load(home.secrets))
    del whole["passwords"]["audit_ingest"], whole["tenancy_keys"]["auth"]
    home.secrets.write_text(json.dumps(whole))
    home.secrets.chmod(0o600)
    only(belongings.keys(home), "audit_ingest", "tenancy_keys.auth")
    home.secrets.write_text("{")
    only(belongings.keys(home), "cannot be read")
    home.secrets.unlink()
    only(belongings.keys(home), "is gone")


def test_what_a_killed_supervisor_left(home: Home) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as orphan:
        left = Process(Status.READY, orphan.pid, identity.started(orphan.pid) or "")
        state.write(home, State(1, "long ago", 0, {"envoy": left}))
        assert only(belongings.remains(home), f"pid {orphan.pid}").mend == "penguinmails down"
        orphan.kill()
    assert only(belongings.remains(home), "was killed").level is Level.WARNING
    home.state.write_text("{")
    only(belongings.remains(home), "cannot be read")
    with files.locked(home.up_lock):
        only(belongings.remains(home), "under way")


def test_a_taken_port_and_by_whom(home: Home) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        problem = only(belongings.taken_ports(home, port), str(port), "gateway", f"pid {os.getpid()}")
        assert "PORT=" in problem.mend
        home.config.write_text(json.dumps({"ports": {"gateway": ports.random_free(set()), "kafka": port}}))
        only(belongings.taken_ports(home, None), str(port), "kafka")
    home.config.write_text("{")
    only(belongings.taken_ports(home, None), "cannot be read")


def test_other_stacks_running_and_orphaned(home: Home, tmp_path: Path) -> None:
    other = tmp_path / "other"
    command = [sys.executable, "-c", "input()", "-m", belongings.SUPERVISOR, str(other)]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as stranger:
        found = [problem for problem in belongings.other_stacks(home) if str(other) in problem.what]
        assert only(iter(found), "is gone").mend == f"kill {stranger.pid}"
        other.mkdir()
        found = [problem for problem in belongings.other_stacks(home) if str(other) in problem.what]
        assert "penguinmails down" in only(iter(found), "another stack runs").mend
        stranger.kill()


def test_a_damaged_memory_of_the_demo_tenant(home: Home) -> None:
    home.demo_login.write_text("[]")
    only(belongings.demo_login(home), "damaged")


async def all_of(found: AsyncIterator[Problem]) -> list[Problem]:
    return [problem async for problem in found]


async def test_a_running_stack_has_nothing_wrong_with_it(stack: Stack) -> None:
    config = stack.config
    found = await all_of(running.schemas(config.databases()))
    assert found + await all_of(running.clocks(config.superuser_dsn, config.url("gateway"))) == []


async def test_a_process_that_does_not_answer_is_named_with_its_last_words(stack: Stack) -> None:
    told = stack.state
    told.processes["mail"].status, told.processes["mail"].exit_status = Status.BACKING_OFF, 3
    told.processes["stripe"].restarts = 4
    stack.kill("campaigns", signal.SIGSTOP)
    try:
        found = await all_of(running.readiness(stack.config, told))
    finally:
        stack.kill("campaigns", signal.SIGCONT)
    said = {problem.what: problem for problem in found}
    assert any("mail is backing off, last ended with status 3" in what for what in said)
    assert said["stripe was started again 4 times"].level is Level.WARNING
    assert "campaigns is not ready: /health/ready does not answer" in said
    await asyncio.to_thread(stack.wait_ready, "campaigns")


def test_why_a_service_says_it_is_not_ready() -> None:
    body = json.dumps({"checks": {"keys": False, "database": True, "consumer audit": False}})
    keys, consumer = running.unready(503, body)
    assert "auth has not answered" in keys
    assert consumer.startswith("consumer audit stopped")


async def test_a_clock_that_is_wrong(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time
    monkeypatch.setattr(running.time, "time", lambda: now() - 60)
    database, gateway = await all_of(running.clocks(stack.config.superuser_dsn, stack.config.url("gateway")))
    assert "the database's clock is +60" in database.what
    assert "the gateway's clock is +" in gateway.what


async def test_schemas_behind_and_ahead_of_the_code_and_wrong_passwords(stack: Stack) -> None:
    owner = stack.config.databases()["workspaces"]["owner"]
    connection = await asyncpg.connect(stack.config.dsn("postgres", "workspaces"))
    statement = "UPDATE alembic_version SET version_num = $2 WHERE version_num = $1"
    try:
        await connection.execute(statement, "workspaces_0001", "workspaces_9999")
        (ahead,) = await all_of(running.schema("workspaces", owner))
        await connection.execute("DELETE FROM alembic_version WHERE version_num = 'workspaces_9999'")
        (behind,) = await all_of(running.schema("workspaces", owner))
    finally:
        await connection.execute("INSERT INTO alembic_version VALUES ('workspaces_0001')")
        await connection.close()
    assert "workspaces_9999" in ahead.what
    assert (behind.mend, "workspaces_0001" in behind.what) == ("penguinmails migrate", True)
    wrong = owner.replace("workspaces_owner:", "workspaces_owner:x")
    (refused,) = await all_of(running.schema("workspaces", wrong))
    assert "does not take the password" in refused.what


async def test_secrets_under_an_older_key_and_under_one_that_is_missing(stack: Stack) -> None:
    environment = stack.config.service_environment("auth")
    old, new = environment["KEY_ENCRYPTION_KEY"], "0b" * 32

    async def found(key: str) -> list[Problem]:
        return await all_of(running.secrets("auth", {**environment, "KEY_ENCRYPTION_KEY": key}))

    assert await found(old) == await found(f"{old},{new}") == []
    older = (await found(f"{new},{old}"))[0]
    assert "signing_keys.private_key are sealed with an older key" in older.what
    assert (older.mend, older.level) == ("penguinmails keys reseal", Level.WARNING)
    missing = (await found(new))[0]
    assert "a key that is missing" in missing.what
    assert missing.level is Level.ERROR


def test_its_exit_status_and_json(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    stack = Stack(home, ports.random_free(set()))
    assert not any(problem.level is Level.ERROR for found in examine(stack).values() for problem in found)
    doctor(stack, as_json=False)
    assert "keys" in capsys.readouterr().out
    home.secrets.chmod(0o644)
    with pytest.raises(typer.Exit) as ended:
        doctor(stack, as_json=True)
    assert ended.value.exit_code == 1
    told = json.loads(capsys.readouterr().out)
    assert told["running"] is False
    (problem,) = (problem for problem in told["problems"] if problem["level"] == "error")
    assert (problem["check"], problem["mend"]) == ("keys", f"chmod 600 {home.secrets}")


async def test_what_cannot_be_looked_at_is_a_problem_and_not_a_crash() -> None:
    closed = f"postgresql://postgres@127.0.0.1:{ports.random_free(set())}/postgres"
    (problem,) = await collect(running.clocks(closed, "http://127.0.0.1:1"))
    assert "could not be looked at" in problem.what
