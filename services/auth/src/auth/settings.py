"""Settings of the service."""

from pydantic import Field, SecretStr

from common.web.kernel import Kernel
from common.web.service_tokens import CalledSettings


class AuthSettings(CalledSettings):
    key_encryption_key: SecretStr = Field(description="hex, 32 bytes; encrypts the private signing keys")
    smtp_url: SecretStr = Field(
        default=SecretStr("smtp://127.0.0.1:1025"),
        description="smtp:// (STARTTLS when offered, always with a password) or smtps://user:password@host:port",
    )
    mail_from: str = Field(description="address of the sender: `Name <name@host>`")
    password_threads: int = Field(default=2, ge=1, description="Argon2 computations at a time")
    password_queue: int = Field(default=64, ge=1, description="computations waiting; beyond it 503")


def settings_of(kernel: Kernel) -> AuthSettings:
    """The kernel's settings with their type."""
    if not isinstance(kernel.settings, AuthSettings):
        raise TypeError("not a kernel of auth")
    return kernel.settings
