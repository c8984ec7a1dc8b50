"""Ports, credentials, settings and the confinement of other people's programs."""

import json
import socket
import stat
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from penguinmails import broker, config, credentials, files, gateway, identity, plan, ports, postgres
from penguinmails.config import Config
from penguinmails.credentials import SERVICES
from penguinmails.home import Home


@pytest.fixture
def settings(tmp_path: Path) -> Config:
    home = Home(tmp_path / "a home")
    home.make()
    return config.prepare(home, None, {"EXTRA": "1"})


def test_a_taken_gateway_port_gives_the_next_free_one() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", ports.random_free(set())))
        taken.listen()
        port = taken.getsockname()[1]
        assert ports.choose({}, port)["gateway"] > port


def test_stacks_that_start_at_once_get_ports_of_their_own() -> None:
    first = ports.random_free(set())
    code = (
        "import json\nfrom penguinmails import ports\nclaims = ports.Claims()\ninput()\n"
        f"print(json.dumps(ports.choose({{}}, {first}, claims.take)), flush=True)\ninput()"
    )
    command, pipe = [sys.executable, "-c", code], subprocess.PIPE
    starting = [subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) for _ in range(20)]
    try:
        for process in starting:
            print(file=process.stdin, flush=True)
        chosen = [json.loads(process.stdout.readline()) for process in starting if process.stdout]
        every = [port for one in chosen for port in one.values()]
        assert len(every) == len(set(every)) == 20 * (len(ports.NAMES) + 1)
        claims = ports.Claims()
        assert not any(claims.take(port) for port in every[:15])
    finally:
        for process in starting:
            process.kill()
            process.communicate()
    with ports.Claims() as claims:
        assert claims.take(chosen[0]["gateway"]), "whoever is killed holds nothing"


def test_ports_are_remembered_while_they_are_free() -> None:
    first = ports.choose({}, None)
    assert ports.choose(first, None) == first
    assert len(set(first.values())) == len(first)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", first["kafka"]))
        taken.listen()
        second = ports.choose(first, None)
    assert second["kafka"] != first["kafka"]
    assert {**second, "kafka": 0} == {**first, "kafka": 0}


def test_credentials_are_made_once_and_private(settings: Config) -> None:
    path = settings.home.secrets
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert credentials.load_or_make(path) == settings.credentials
    keys = settings.credentials.tenancy_keys
    assert len({*keys.values()}) == len(SERVICES)
    assert all(len(bytes.fromhex(key)) == 32 for key in keys.values())


def test_a_service_knows_its_own_secrets_only(settings: Config) -> None:
    for service in SERVICES:
        environment = json.dumps(settings.service_environment(service))
        for other in SERVICES:
            secrets = [settings.credentials.tenancy_keys[other], settings.credentials.link_secrets[other]]
            secrets.append(settings.credentials.passwords[f"{other}_app"])
            secrets.append(json.dumps(settings.credentials.signing_keys[other])[1:-1])
            assert {secret in environment for secret in secrets} == {other == service}
        assert settings.credentials.passwords[f"{service}_owner"] not in environment
        assert settings.credentials.passwords["postgres"] not in environment
        assert "EXTRA" in environment


def test_the_gateway_template_is_filled_in_completely(settings: Config) -> None:
    text = gateway.render(gateway.local_settings(settings))
    assert "$" not in text
    assert f"port_value: {settings.ports['gateway']}" in text


@pytest.mark.parametrize(("overrides", "of_a_million"), [({}, "1000000"), ({"TRACE_RATIO": "0.01"}, "10000")])
def test_gateway_and_services_trace_the_same_share(
    settings: Config, overrides: dict[str, str], of_a_million: str
) -> None:
    changed = replace(settings, overrides=overrides)
    assert gateway.local_settings(changed)["TRACE_SAMPLING"] == of_a_million


def test_the_plan_names_only_processes_it_has(settings: Config) -> None:
    units = {unit.name: unit for unit in plan.of(settings)}
    assert {name for unit in units.values() for name in unit.after} <= units.keys()
    assert set(SERVICES) <= units.keys()


def test_each_broker_start_is_a_new_cluster() -> None:
    assert broker.new_cluster() != broker.new_cluster()


def test_a_pid_file_of_another_program_is_removed(tmp_path: Path) -> None:
    code = "print('begun', flush=True); input()"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", code], **pipes) as other:
        assert other.stdout
        other.stdout.readline()
        (tmp_path / "postmaster.pid").write_text(f"{other.pid}\n{tmp_path}\n")
        postgres.clear_stale_pid_file(tmp_path)
        assert not (tmp_path / "postmaster.pid").exists()
        other.kill()


def test_a_pid_file_of_a_dead_server_stays_for_the_server_to_judge(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        gone.wait()
    (tmp_path / "postmaster.pid").write_text(f"{gone.pid}\n{tmp_path}\n")
    postgres.clear_stale_pid_file(tmp_path)
    assert (tmp_path / "postmaster.pid").exists()


def test_a_lock_is_held_until_its_process_ends(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    code = f"import pathlib, penguinmails.files as f; f.try_lock(pathlib.Path({str(lock)!r})); input()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE) as holder:
        while not files.is_locked(lock):
            time.sleep(0.01)
        start = identity.started(holder.pid)
        assert start
        holder.kill()
    assert not files.is_locked(lock)
    assert not identity.is_alive(holder.pid, start)


def test_a_confined_program_serves_on_loopback_and_keeps_its_files_with_us(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import socket, sys\n"
        "listener = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)\n"
        "listener.bind(('::', 0))\n"
        "with open('/tmp/penguins.data', 'wb') as file:\n"
        "    file.write(repr(listener.getsockname()).encode())\n"
        "print(open('/tmp/penguins.data', 'rb').read().decode(), sys.argv[1:])\n"
    )
    command = [sys.executable, "-m", "penguinmails.confine", tmp_path, "program", "--port", "1"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("('127.0.0.1', ")
    assert done.stdout.endswith("['--port', '1']\n")
    assert (tmp_path / "penguins.data").exists()
    assert not Path("/tmp/penguins.data").exists()
