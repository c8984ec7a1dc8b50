"""Passwords and keys of one local stack, made once and kept in `secrets.json` (0600)."""

import hmac
import json
import secrets
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING

from penguinmails import files

if TYPE_CHECKING:
    from pathlib import Path

SERVICES = ("auth", "tenants", "workspaces", "campaigns", "audit")
SEALING = ("auth", "campaigns")
"""Those with secrets in their database."""


@dataclass(frozen=True)
class Credentials:
    passwords: dict[str, str]
    """By database role, the superuser `postgres` included."""
    tenancy_keys: dict[str, str]
    link_secrets: dict[str, str]
    signing_keys: dict[str, str]
    """PEM, EC P-256, one private key per service."""
    public_keys: dict[str, str]
    key_encryption_keys: dict[str, str]
    """Of the services with secrets in their database: one, or several while one takes another's place."""

    @property
    def stripe_webhook_secret(self) -> str:
        """With which the stand-in for Stripe signs its events."""
        key = bytes.fromhex(self.link_secrets["tenants"])
        return f"whsec_{hmac.digest(key, b'stripe webhook', 'sha256').hex()}"

    def roles_of(self, service: str) -> dict[str, str]:
        """The passwords of the service's own database roles."""
        return {role: self.passwords[role] for role in roles(service)}


def roles(service: str) -> tuple[str, ...]:
    own = (f"{service}_owner", f"{service}_app", f"{service}_relay")
    return (*own, "audit_ingest") if service == "audit" else own


def load(path: "Path") -> Credentials:
    return Credentials(**json.loads(path.read_text()))


def load_whole(path: "Path") -> Credentials:
    """What `load` gives.

    Raises:
        ValueError: something is missing in the file, or it is none of ours.
    """
    try:
        found = asdict(load(path))
    except (TypeError, ValueError) as error:
        raise ValueError(str(error)) from error
    for field, names in _needed().items():
        values = found[field]
        missing = [
            n
            for n in names
            if not (isinstance(values, dict) and values.get(n) and isinstance(values[n], str))
        ]
        if missing:
            raise ValueError(f"{field} of {', '.join(missing)} missing")
    return Credentials(**found)


def _needed() -> dict[str, tuple[str, ...]]:
    """Who must be in each of the fields."""
    names = ("postgres", *(role for service in SERVICES for role in roles(service)))
    others = {field.name: SERVICES for field in fields(Credentials)}
    return {**others, "passwords": names, "key_encryption_keys": SEALING}


def load_or_make(path: "Path") -> Credentials:
    if path.exists():
        return load(path)
    made = _make()
    files.write_atomically(path, json.dumps(asdict(made), indent=1), mode=0o600)
    return made


def _make() -> Credentials:
    pairs = {service: _key_pair() for service in SERVICES}
    return Credentials(
        passwords={name: secrets.token_hex(24) for name in _needed()["passwords"]},
        tenancy_keys={service: secrets.token_hex(32) for service in SERVICES},
        link_secrets={service: secrets.token_hex(32) for service in SERVICES},
        signing_keys={service: private for service, (private, _) in pairs.items()},
        public_keys={service: public for service, (_, public) in pairs.items()},
        key_encryption_keys={service: secrets.token_hex(32) for service in SEALING},
    )


def _key_pair() -> tuple[str, str]:
    # Imported here: the supervisor reads credentials and must stay small.
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415

    key = ec.generate_private_key(ec.SECP256R1())
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return private.decode(), public.decode()
