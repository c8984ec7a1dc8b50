"""Every process of the local stack, in one table."""

import signal
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass, field

from penguinmails import apache_kafka, binaries, postgres, probes
from penguinmails.config import LOOPBACK, Broker, Config
from penguinmails.credentials import SERVICES
from penguinmails.probes import Probe

INFRASTRUCTURE = ("postgres", "kafka", "collector", "mail", "stripe", "valkey")


def _nothing() -> None:
    return None


@dataclass(frozen=True)
class Unit:
    name: str
    command: Callable[[], list[str]]
    probe: Probe | None = None
    """None for a task: it is done when it has ended with status 0."""
    environment: dict[str, str] = field(default_factory=dict[str, str])
    after: tuple[str, ...] = ()
    stop_signal: signal.Signals = signal.SIGTERM
    death_signal: signal.Signals = signal.SIGKILL
    """Sent by the kernel when the supervisor dies."""
    prepare: Callable[[], None] = _nothing


def of(config: Config) -> list[Unit]:
    return [*_infrastructure(config), _migrations(config), *_services(config), _gateway(config)]


def _infrastructure(config: Config) -> list[Unit]:
    things = (_postgres, _kafka, _collector, _mail, _stripe, _valkey)
    return [make(config) for make in things]


def _python(*arguments: str) -> Callable[[], list[str]]:
    return lambda: [sys.executable, "-m", *arguments]


def _postgres(config: Config) -> Unit:
    data = config.home.postgres_data
    return Unit(
        "postgres",
        lambda: postgres.command(data, config.ports["postgres"]),
        probes.postgres_ready(data),
        stop_signal=signal.SIGINT,
        death_signal=signal.SIGINT,
        prepare=lambda: postgres.clear_stale_pid_file(data),
    )


def _kafka(config: Config) -> Unit:
    if config.broker is Broker.APACHE:
        ready = probes.kafka_ready(config.ports["kafka"])
        return Unit("kafka", lambda: apache_kafka.command(config.home), ready)
    inner = str(config.ports["kafka_inner"])
    run = _python("penguinmails.broker", "--port", str(config.ports["kafka"]), "--inner-port", inner)
    return Unit("kafka", run, probes.accepts(config.ports["kafka"]))


def _collector(config: Config) -> Unit:
    port, folder = config.ports["collector"], str(config.home.telemetry)
    run = _python("penguinmails.collector", "--port", str(port), "--folder", folder)
    return Unit("collector", run, probes.answers(port, "/health/ready"))


def _mail(config: Config) -> Unit:
    port, maildir = config.ports["mail"], str(config.home.mail)
    run = _python("penguinmails.mailcatcher", "--port", str(port), "--maildir", maildir)
    return Unit("mail", run, probes.accepts(port))


def _stripe(config: Config) -> Unit:
    port, inner = str(config.ports["stripe"]), str(config.ports["stripe_inner"])
    places = [
        "--folder",
        str(config.home.stripe),
        "--webhook",
        f"{config.url('gateway')}/api/v1/webhooks/stripe",
    ]
    run = _python("penguinmails.stripe", "--port", port, "--inner-port", inner, *places)
    secret = {"STRIPE_WEBHOOK_SECRET": config.credentials.stripe_webhook_secret}
    return Unit("stripe", run, probes.accepts(config.ports["stripe"]), secret)


def _valkey(config: Config) -> Unit:
    """Counts only, of the last two minutes: nothing is kept, and when there is no room the oldest go."""
    options = {
        "--port": str(config.ports["valkey"]),
        "--bind": LOOPBACK,
        "--save": "",
        "--appendonly": "no",
        "--maxmemory": "64mb",
        "--maxmemory-policy": "volatile-ttl",
    }

    def command() -> list[str]:
        return [str(binaries.valkey()), *(word for option in options.items() for word in option)]

    return Unit("valkey", command, probes.accepts(config.ports["valkey"]))


def _migrations(config: Config) -> Unit:
    run = _python("penguinmails.migrations", str(config.home.root))
    return Unit("migrations", run, after=("postgres",))


def _services(config: Config) -> list[Unit]:
    return [
        Unit(
            service,
            _python(service, "run"),
            probes.answers(config.ports[service], "/health/serving"),
            config.service_environment(service),
            after=("migrations", *INFRASTRUCTURE),
        )
        for service in SERVICES
    ]


def _gateway(config: Config) -> Unit:
    def command() -> list[str]:
        paths = ["--config-path", str(config.home.gateway_config)]
        # Of a collector that is away it would tell at every export.
        quiet = ["--log-level", "warning", "--component-log-level", "stats:critical"]
        return [str(binaries.envoy()), *paths, *quiet, "--disable-hot-restart", "--concurrency", "2"]

    ready = probes.gateway_ready(config.ports["gateway_admin"])
    place = {"OTEL_RESOURCE_ATTRIBUTES": f"service.instance.id={socket.gethostname()}/gateway"}
    return Unit("envoy", command, ready, place, after=("auth",))


def address(config: Config, name: str) -> str:
    """Where people reach the process, for tables."""
    port = config.ports.get("gateway" if name == "envoy" else name)
    scheme = {"postgres": "postgresql", "kafka": "kafka", "mail": "smtp", "valkey": "valkey"}.get(
        name, "http"
    )
    return f"{scheme}://{LOOPBACK}:{port}" if port else ""
