"""Settings of the service."""

from pydantic import Field, SecretStr

from auth.password.hashing import FLOOR, Cost
from common.sealing import SealingSettings
from common.web.kernel import Kernel
from common.web.service_tokens import CalledSettings


class AuthSettings(SealingSettings, CalledSettings):
    smtp_url: SecretStr = Field(
        default=SecretStr("smtp://127.0.0.1:1025"),
        description="smtp:// (STARTTLS when offered, always with a password) or smtps://user:password@host:port",
    )
    mail_from: str = Field(description="address of the sender: `Name <name@host>`")
    password_threads: int = Field(default=2, ge=1, description="Argon2 computations at a time")
    password_queue: int = Field(default=64, ge=1, description="computations waiting; beyond it 503")
    password_time_cost: int = Field(
        default=FLOOR.time_cost, ge=FLOOR.time_cost, description="Argon2id's passes; raise, never lower"
    )
    password_memory_kib: int = Field(
        default=FLOOR.memory_kib, ge=FLOOR.memory_kib, description="and its memory; raise, never lower"
    )
    login_failures_per_address: int = Field(default=5, ge=1, description="failures before log-ins must wait")
    login_failures_per_ip: int = Field(default=50, ge=1, description="the same for one IP address")
    login_longest_wait: float = Field(default=60.0, gt=0, description="seconds; waits double up to it")
    login_forget_after: float = Field(default=900.0, gt=0, description="seconds without a failure")
    login_failure_grid: float = Field(
        default=0.25, ge=0, description="seconds; refusals are answered at whole multiples of it"
    )
    operator_mfa_required: bool = Field(
        default=True, description="whether operators without TOTP are refused, and new ones enrolled"
    )

    @property
    def password_cost(self) -> Cost:
        """What a new password's hash costs."""
        return Cost(self.password_time_cost, self.password_memory_kib)


def settings_of(kernel: Kernel) -> AuthSettings:
    """The kernel's settings with their type."""
    if not isinstance(kernel.settings, AuthSettings):
        raise TypeError("not a kernel of auth")
    return kernel.settings
