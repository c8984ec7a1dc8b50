"""What `docker-compose.yml` needs and nobody may share: `python -m penguinmails.compose [REPOSITORY]`.

Writes `.env` and the folder `.compose`: keys and passwords, made once and kept, as one file per setting; and
the gateway's configuration. Nobody else can enter the folder, so what is in it may be readable: containers
run as users of their own.
"""

import importlib
import os
import secrets
import sys
from collections.abc import Mapping
from pathlib import Path

from common.service import Service
from penguinmails import credentials, files, gateway
from penguinmails.config import Broker, Config
from penguinmails.credentials import SERVICES
from penguinmails.home import REPOSITORY, Home
from penguinmails.ports import GATEWAY_PORT, NAMES

SECRETS = (
    "DATABASE_URL",
    "RELAY_DATABASE_URL",
    "INGEST_DATABASE_URL",
    "TENANCY_KEY",
    "LINK_SECRET",
    "KEY_ENCRYPTION_KEY",
    "SERVICE_SIGNING_KEY",
    "SERVICE_PUBLIC_KEYS",
    "SMTP_URL",
    "STRIPE_SECRET_KEY",
    "STRIPE_WEBHOOK_SECRET",
)
"""The settings of services that are files; the others stand in `docker-compose.yml`."""

_SERVICE_PORT = 8000
_PORTS = {"postgres": 5432, "kafka": 9092, "collector": 4318, "mail": 1025, "stripe": 8420, "valkey": 6379}
_HOSTS = {"collector": "otel-collector", "mail": "mailpit"}


def container_config(home: Home, gateway_port: int) -> Config:
    """The stack as its containers see it; the gateway as its clients do."""
    services = dict.fromkeys(SERVICES, _SERVICE_PORT)
    ports = {**dict.fromkeys(NAMES, 0), **_PORTS, **services, "gateway": gateway_port, "gateway_admin": 9901}
    hosts = {name: _HOSTS.get(name, name) for name in (*_PORTS, *SERVICES)}
    kept = credentials.load_or_make(home.secrets)
    return Config(home, ports, kept, broker=Broker.APACHE, hosts=hosts)


def secret_files(made: Config) -> dict[str, dict[str, str]]:
    """By folder and name: each service's own, the migrations' beside them, those of the infrastructure."""
    folders: dict[str, dict[str, str]] = {}
    for service in SERVICES:
        given, read = made.service_environment(service), _settings_of(service)
        folders[service] = {name.lower(): given[name] for name in SECRETS if name.lower() in read}
        folders[f"migrations/{service}"] = _for_migrations(made, service)
    folders["postgres"] = {"postgres_password": made.credentials.passwords["postgres"]}
    folders["stripe"] = {"stripe_webhook_secret": made.credentials.stripe_webhook_secret}
    return folders


def _settings_of(service: str) -> set[str]:
    """What the service reads: it gets no secret besides."""
    declared: Service = importlib.import_module(f"{service}.__main__").SERVICE
    return set(declared.settings.model_fields)


def _for_migrations(made: Config, service: str) -> dict[str, str]:
    given = {**made.migration_environment(service), "SUPERUSER_DATABASE_URL": made.superuser_dsn}
    urls = {name.lower(): value for name, value in given.items() if name.endswith("DATABASE_URL")}
    return {**urls, "tenancy_key": given["TENANCY_KEY"]}


def gateway_config(made: Config) -> str:
    """Envoy's, listening inside its container."""
    inside = {
        "GATEWAY_ADDRESS": "0.0.0.0",  # noqa: S104 - of the container
        "GATEWAY_PORT": "8080",
        "METRIC_INTERVAL": "10",
    }
    return gateway.render({**gateway.local_settings(made), **inside})


def write(repository: Path, gateway_port: int) -> None:
    """Everything; what others may have put in place of a secret stays."""
    before = os.umask(0o022)  # containers must be able to read it
    try:
        _write(repository, gateway_port)
    finally:
        os.umask(before)


def _write(repository: Path, gateway_port: int) -> None:
    home = Home(repository / ".compose")
    home.root.mkdir(mode=0o700, exist_ok=True)
    home.root.chmod(0o700)
    made = container_config(home, gateway_port)
    for folder, contents in secret_files(made).items():
        _write_missing(home.root / "secrets" / folder, contents)
    _write_missing(home.root / "secrets" / "grafana", {"grafana_password": secrets.token_hex(16)})
    files.write_atomically(home.root / "envoy.yaml", gateway_config(made), mode=0o644)
    settings = {"GATEWAY_PORT": str(gateway_port), "PUBLIC_URL": made.url("gateway")}
    _remember(repository / ".env", settings)


def _write_missing(folder: Path, contents: Mapping[str, str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, value in contents.items():
        if not (folder / name).exists():
            files.write_atomically(folder / name, value, mode=0o444)


def _remember(path: Path, settings: Mapping[str, str]) -> None:
    """Set these in the file, and leave its other lines alone."""
    lines = path.read_text().splitlines() if path.exists() else []
    kept = [line for line in lines if line.partition("=")[0].strip() not in settings]
    text = "\n".join([*kept, *(f"{name}={value}" for name, value in settings.items())])
    files.write_atomically(path, f"{text}\n", mode=0o600)


def main() -> None:
    repository = Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else REPOSITORY
    write(repository, int(os.environ.get("PORT") or GATEWAY_PORT))
    print("Keys, passwords and the gateway's configuration are in .compose. Next: docker compose up --build")


if __name__ == "__main__":
    main()
