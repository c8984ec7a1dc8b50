"""`docker-compose.yml` and what `make compose-env` makes for it; `make compose-check` shows that it runs."""

import json
import os
import re
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from compose_spec import PyCompose
from conftest import SERVICES, service_of

from penguinmails import compose
from penguinmails.home import REPOSITORY, Home

INFRASTRUCTURE = {"gateway", "postgres", "kafka", "valkey", "mailpit", "stripe"}
OBSERVABILITY = {"otel-collector", "jaeger", "prometheus", "grafana"}
DOCUMENT: dict[str, Any] = yaml.safe_load((REPOSITORY / "docker-compose.yml").read_text())
CONTAINERS: dict[str, dict[str, Any]] = DOCUMENT["services"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    repository = tmp_path_factory.mktemp("repository")
    before = os.umask(0o077)
    try:
        compose.write(repository, 8123)
    finally:
        os.umask(before)
    return repository


def secrets_of(made: Path, folder: str) -> set[str]:
    return {path.name.upper() for path in (made / ".compose" / "secrets" / folder).iterdir()}


def test_the_file_is_valid_and_names_everything() -> None:
    text = (REPOSITORY / "docker-compose.yml").read_text()
    with_defaults = re.sub(r"\$\{\w+:-(.*?)\}", r"\1", text)
    document = yaml.safe_load(with_defaults)
    PyCompose.from_json(json.dumps(document)).validate()
    with pytest.raises(ValueError, match="cap_dropped"):
        PyCompose.from_json(json.dumps(document).replace("cap_drop", "cap_dropped"))
    assert set(CONTAINERS) == {*SERVICES, "migrations", *INFRASTRUCTURE, *OBSERVABILITY}
    assert {name for name, container in CONTAINERS.items() if "profiles" in container} == OBSERVABILITY


def test_only_the_gateway_is_published_and_on_loopback() -> None:
    published = {name: container["ports"] for name, container in CONTAINERS.items() if "ports" in container}
    assert published == {"gateway": ["${GATEWAY_ADDRESS:-127.0.0.1}:${GATEWAY_PORT:-8080}:8080"]}
    for name in ("platform", "data", "watching"):
        assert DOCUMENT["networks"][name] == {"internal": True}
    assert not {"data", "outside"} & set(CONTAINERS["gateway"]["networks"])


@pytest.mark.parametrize("name", CONTAINERS)
def test_a_container_can_do_little(name: str) -> None:
    container = CONTAINERS[name]
    assert container["read_only"] is True
    assert container["cap_drop"] == ["ALL"]
    assert "cap_add" not in container
    assert container["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in container


def test_the_image_of_all_services_is_built_once_and_before_them() -> None:
    ours = {name: container for name, container in CONTAINERS.items() if name in (*SERVICES, "migrations")}
    assert len({container["image"] for container in ours.values()}) == 1
    assert [name for name, container in ours.items() if "build" in container] == ["migrations"]
    for service in SERVICES:
        assert (
            CONTAINERS[service]["depends_on"]["migrations"]["condition"] == "service_completed_successfully"
        )


def test_a_container_whose_consumer_stopped_is_healthy_and_others_start_after_it() -> None:
    image = (REPOSITORY / "deploy" / "Dockerfile").read_text()
    assert re.findall(r"'(/health/\w+)'", image) == ["/health/serving"]


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_gets_every_setting_that_it_has_locally(service: str, made: Path) -> None:
    given = set(CONTAINERS[service]["environment"]) | secrets_of(made, service)
    image = (REPOSITORY / "deploy" / "Dockerfile").read_text()
    given |= {name for name in ("SERVICE_HOST", "SERVICE_PORT", "FILES_URL") if f"{name}=" in image}
    local = set(compose.container_config(Home(made / ".compose"), 8123).service_environment(service))
    known = {name.upper() for name in service_of(service).settings.model_fields}
    # Apache Kafka is idempotent by default; and has no door that would make more of a longer wait.
    assert (local & known) - given == {"KAFKA_IDEMPOTENCE", "KAFKA_FETCH_WAIT_MS"}


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_sees_its_own_secrets_and_no_owner_s(service: str, made: Path) -> None:
    assert f"./.compose/secrets/{service}:/run/secrets:ro" in CONTAINERS[service]["volumes"]
    assert not set(CONTAINERS[service]["environment"]) & set(compose.SECRETS)
    names = secrets_of(made, service)
    assert names <= {name.upper() for name in service_of(service).settings.model_fields}
    assert not {name for name in names if "OWNER" in name or "SUPERUSER" in name}
    url = (made / ".compose" / "secrets" / service / "database_url").read_text()
    assert url.startswith(f"postgresql://{service}_app:")
    assert url.endswith(f"@postgres:5432/{service}")
    job = secrets_of(made, f"migrations/{service}")
    assert {"OWNER_DATABASE_URL", "SUPERUSER_DATABASE_URL", "TENANCY_KEY"} <= job


def test_nobody_else_enters_the_folder_and_containers_can_read_it(made: Path) -> None:
    assert stat.S_IMODE((made / ".compose").stat().st_mode) == 0o700
    files = [path for path in (made / ".compose" / "secrets").rglob("*") if path.is_file()]
    assert files
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o444}
    assert {stat.S_IMODE(path.parent.stat().st_mode) for path in files} == {0o755}


def test_what_was_made_or_put_there_stays(made: Path) -> None:
    key = made / ".compose" / "secrets" / "tenants" / "stripe_secret_key"
    key.unlink()
    key.write_text("sk_test_of_somebody")
    before = {path: path.read_text() for path in made.rglob("*") if path.is_file()}
    (made / ".env").write_text("SIGNUP_RATE_PER_MINUTE=60\n" + (made / ".env").read_text())
    compose.write(made, 8123)
    after = {path: path.read_text() for path in made.rglob("*") if path.is_file()}
    assert after.pop(made / ".env").startswith("SIGNUP_RATE_PER_MINUTE=60\nGATEWAY_PORT=8123\n")
    before.pop(made / ".env")
    assert after == before


def test_no_two_secrets_are_alike(made: Path) -> None:
    held = json.loads((made / ".compose" / "secrets.json").read_text())
    passwords = list(held["passwords"].values())
    assert len(set(passwords)) == len(passwords)
    assert min(map(len, passwords)) >= 48


def test_the_gateway_is_configured_from_the_template_of_every_deployment(made: Path) -> None:
    written = yaml.safe_load((made / ".compose" / "envoy.yaml").read_text())
    listener = written["static_resources"]["listeners"][0]["address"]["socket_address"]
    assert listener == {"address": "0.0.0.0", "port_value": 8080}
    assert written["admin"]["address"]["socket_address"] == {"address": "127.0.0.1", "port_value": 9901}
    text = (made / ".compose" / "envoy.yaml").read_text()
    assert "http://127.0.0.1:8123" in text
    for service in SERVICES:
        assert f'address: "{service}", port_value: 8000' in text
    assert (made / ".env").read_text().endswith("PUBLIC_URL=http://127.0.0.1:8123\n")


def test_git_never_takes_them() -> None:
    for name in (".env", ".compose/secrets.json"):
        asked = subprocess.run(["git", "check-ignore", "--quiet", name], cwd=REPOSITORY, check=False)
        assert asked.returncode == 0, name
    assert (REPOSITORY / ".dockerignore").read_text().splitlines()[1] == "*"
