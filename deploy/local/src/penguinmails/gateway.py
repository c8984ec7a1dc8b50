"""Filling in `deploy/gateway/envoy.yaml`, the one Envoy configuration of every deployment."""

from collections.abc import Mapping
from string import Template

from penguinmails import files
from penguinmails.config import LOOPBACK, METRIC_INTERVAL, PLATFORM_AUDIENCE, TOKEN_AUDIENCE, Config
from penguinmails.credentials import SERVICES
from penguinmails.home import REPOSITORY

TEMPLATE = REPOSITORY / "deploy" / "gateway" / "envoy.yaml"


def render(settings: Mapping[str, str]) -> str:
    """Raises KeyError for a placeholder without a value."""
    return Template(TEMPLATE.read_text()).substitute(settings)


def local_settings(config: Config) -> dict[str, str]:
    ports, backends = config.ports, (*SERVICES, "collector")
    return {
        "GATEWAY_ADDRESS": LOOPBACK,
        "GATEWAY_PORT": str(ports["gateway"]),
        "ADMIN_ADDRESS": LOOPBACK,
        "ADMIN_PORT": str(ports["gateway_admin"]),
        "TOKEN_ISSUER": config.url("gateway"),
        "TOKEN_AUDIENCE": TOKEN_AUDIENCE,
        "PLATFORM_AUDIENCE": PLATFORM_AUDIENCE,
        "TRUSTED_PROXIES": "0",
        "METRIC_INTERVAL": METRIC_INTERVAL,
        "TRACE_SAMPLING": f"{1_000_000 * float(config.overrides.get('TRACE_RATIO', 1)):.0f}",
        **{f"{name.upper()}_HOST": config.host(name) for name in backends},
        **{f"{name.upper()}_PORT": str(ports[name]) for name in backends},
    }


def write(config: Config) -> None:
    files.write_atomically(config.home.gateway_config, render(local_settings(config)))
