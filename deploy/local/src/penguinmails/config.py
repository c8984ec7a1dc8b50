"""What one local stack consists of: ports, addresses and the environment of each service."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from penguinmails import credentials, files, ports
from penguinmails.credentials import SERVICES, Credentials
from penguinmails.home import Home

LOOPBACK = "127.0.0.1"
TOKEN_AUDIENCE = "penguinmails"  # noqa: S105 - a name
PLATFORM_AUDIENCE = "penguinmails-platform"
METRIC_INTERVAL = "2"
"""In seconds, of services and gateway."""


class Broker(StrEnum):
    """What the stack runs as its Kafka."""

    TANSU = "tansu"
    """From a wheel, log in memory: needs no Java."""
    APACHE = "apache"
    """As in production; `make kafka` fetches it."""


@dataclass(frozen=True)
class Config:
    home: Home
    ports: dict[str, int]
    credentials: Credentials
    overrides: dict[str, str] = field(default_factory=dict[str, str])
    """Settings every service gets on top, for tests."""
    broker: Broker = Broker.TANSU
    hosts: Mapping[str, str] = field(default_factory=dict[str, str])
    """Of the processes that are not on this machine's loopback."""

    def host(self, process: str) -> str:
        return self.hosts.get(process, LOOPBACK)

    def address(self, process: str) -> str:
        return f"{self.host(process)}:{self.ports[process]}"

    def url(self, process: str) -> str:
        return f"http://{self.address(process)}"

    @property
    def kafka(self) -> str:
        return self.address("kafka")

    def dsn(self, role: str, database: str) -> str:
        password = self.credentials.passwords[role]
        return f"postgresql://{role}:{password}@{self.address('postgres')}/{database}"

    @property
    def superuser_dsn(self) -> str:
        return self.dsn("postgres", "postgres")

    def service_environment(self, service: str) -> dict[str, str]:
        return {**self._shared_environment(), **self._own_environment(service), **self.overrides}

    def migration_environment(self, service: str) -> dict[str, str]:
        """The owner's connection is given to migrations only."""
        owner = self.dsn(f"{service}_owner", service)
        return {**self.service_environment(service), "OWNER_DATABASE_URL": owner}

    def _shared_environment(self) -> dict[str, str]:
        return {
            "SERVICE_HOST": LOOPBACK,
            "KAFKA_BOOTSTRAP_SERVERS": self.kafka,
            "KAFKA_FETCH_WAIT_MS": "500",
            "KAFKA_IDEMPOTENCE": str(self.broker is Broker.APACHE).lower(),
            "JWKS_URL": f"{self.url('auth')}/.well-known/jwks.json",
            "AUTH_URL": self.url("auth"),
            "TOKEN_ISSUER": self.url("gateway"),
            "TOKEN_AUDIENCE": TOKEN_AUDIENCE,
            "PLATFORM_AUDIENCE": PLATFORM_AUDIENCE,
            "PUBLIC_URL": self.url("gateway"),
            "OTEL_EXPORTER_OTLP_ENDPOINT": self.url("collector"),
            "METRIC_INTERVAL": METRIC_INTERVAL,
            "SMTP_URL": f"smtp://{self.address('mail')}",
            "MAIL_FROM": "PenguinMails <no-reply@penguinmails.test>",
            "FILES_URL": self.home.files.as_uri(),
            "SERVICE_PUBLIC_KEYS": json.dumps(self.credentials.public_keys),
            "SIGNUP_RATE_PER_MINUTE": "6000",
            "DRAIN_SECONDS": "0",  # one process each: nobody is there to take over
            "RATE_LIMIT_URL": f"valkey://{self.address('valkey')}",
        }

    def _own_environment(self, service: str) -> dict[str, str]:
        secrets = self.credentials
        own = {
            "SERVICE_PORT": str(self.ports[service]),
            "DATABASE_URL": self.dsn(f"{service}_app", service),
            "RELAY_DATABASE_URL": self.dsn(f"{service}_relay", service),
            "TENANCY_KEY": secrets.tenancy_keys[service],
            "LINK_SECRET": secrets.link_secrets[service],
            "SERVICE_SIGNING_KEY": secrets.signing_keys[service],
        }
        return {**own, **self._particular_environment(service)}

    def _particular_environment(self, service: str) -> dict[str, str]:
        match service:
            case "auth":
                key = self.credentials.key_encryption_keys[service]
                return {"KEY_ENCRYPTION_KEY": key, "OPERATOR_MFA_REQUIRED": "false"}
            case "campaigns":
                return {"KEY_ENCRYPTION_KEY": self.credentials.key_encryption_keys[service]}
            case "tenants":
                return {
                    "STRIPE_SECRET_KEY": "sk_test_local",
                    "STRIPE_API_BASE": self.url("stripe"),
                    "STRIPE_WEBHOOK_SECRET": self.credentials.stripe_webhook_secret,
                }
            case "audit":
                return {"INGEST_DATABASE_URL": self.dsn("audit_ingest", "audit")}
            case _:
                return {}

    def databases(self) -> dict[str, dict[str, str]]:
        """Connections by service and kind: app, owner, relay (and ingest for audit)."""
        return {
            service: {role.rpartition("_")[2]: self.dsn(role, service) for role in credentials.roles(service)}
            for service in SERVICES
        }


def load(home: Home) -> Config:
    stored = json.loads(home.config.read_text())
    broker = Broker(stored.get("broker", Broker.TANSU))
    return Config(home, stored["ports"], credentials.load(home.secrets), stored["overrides"], broker)


def remembered_ports(home: Home) -> dict[str, int]:
    return json.loads(home.config.read_text())["ports"] if home.config.exists() else {}


def prepare(
    home: Home,
    gateway_port: int | None,
    overrides: dict[str, str],
    broker: Broker = Broker.TANSU,
    take: ports.Take = ports.is_free,
) -> Config:
    """Choose ports, make keys, and remember both and what was asked for."""
    secrets = credentials.load_or_make(home.secrets)
    chosen = ports.choose(remembered_ports(home), gateway_port, take)
    stored = {"ports": chosen, "overrides": overrides, "broker": broker}
    files.write_atomically(home.config, json.dumps(stored, indent=1), mode=0o600)
    return Config(home, chosen, secrets, overrides, broker)
