"""The services of the installation, and what they need to be built without it."""

import importlib
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from common.cli import build_kernel
from common.service import Service
from common.web.kernel import Kernel
from penguinmails.credentials import SERVICES

__all__ = ["CAMPAIGNS_KEY_PEM", "ENVIRONMENT", "SERVICES", "SIGNING_KEY_PEM", "idle_kernel", "service_of"]


def _key_pair() -> tuple[str, str]:
    """A private and a public key, PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return private.decode(), public.decode()


SIGNING_KEY_PEM, _TENANTS_PUBLIC_PEM = _key_pair()
"""With which the `tenants` service of the tests proves itself to the others."""
CAMPAIGNS_KEY_PEM, _CAMPAIGNS_PUBLIC_PEM = _key_pair()
"""That of a service that others know and that has nothing to ask of them."""

ENVIRONMENT: dict[str, dict[str, Any]] = {
    "auth": {
        "key_encryption_key": "6b" * 32,
        "mail_from": "PenguinMails <no-reply@penguinmails.test>",
        "service_public_keys": {"tenants": _TENANTS_PUBLIC_PEM, "campaigns": _CAMPAIGNS_PUBLIC_PEM},
    },
    "campaigns": {"key_encryption_key": "6b" * 32},
    "tenants": {
        "service_signing_key": SIGNING_KEY_PEM,
        "stripe_secret_key": "sk_test_isolation",
        "stripe_webhook_secret": "whsec_of_the_isolation_tests",
    },
}
"""Settings that a service needs beyond the common ones."""


def service_of(name: str) -> Service:
    """The declaration of a service."""
    service: Service = importlib.import_module(f"{name}.__main__").SERVICE
    return service


def idle_kernel(service: Service, **environment: Any) -> Kernel:
    """A kernel without a database behind it: enough to ask an application for its routes."""
    settings = service.settings(
        **{
            "database_url": "postgresql://nobody@127.0.0.1:1/none",
            "tenancy_key": "00" * 32,
            "link_secret": "00" * 32,
            **ENVIRONMENT.get(service.name, {}),
            **environment,
        }  # type: ignore[arg-type]  # fields differ by service
    )
    return build_kernel(service, settings)
