"""Settings of the service."""

from pydantic import Field, SecretStr

from common.web.kernel import Kernel
from common.web.service_tokens import CallingSettings


class TenantsSettings(CallingSettings):
    stripe_secret_key: SecretStr
    stripe_api_base: str = "https://api.stripe.com"
    deletion_grace_days: int = Field(
        default=30, ge=0, description="days in which a deletion can be cancelled"
    )
    signup_rate_per_minute: int = Field(default=10, ge=1, description="sign-ups per client address")


def settings_of(kernel: Kernel) -> TenantsSettings:
    """The kernel's settings with their type."""
    if not isinstance(kernel.settings, TenantsSettings):
        raise TypeError("not a kernel of tenants")
    return kernel.settings
