"""Settings of the service."""

from pydantic import Field, SecretStr

from common.web.kernel import Kernel
from common.web.service_tokens import CallingSettings


class TenantsSettings(CallingSettings):
    stripe_secret_key: SecretStr
    stripe_api_base: str = "https://api.stripe.com"
    link_host: str = Field(
        default="links.penguinmails.test",
        description="host of tracking and unsubscribe links; tenants' custom domains are CNAMEs to it",
    )
    dns_server: str = Field(
        default="", description="`address:port` of a resolver for custom domains; empty: the system's"
    )
    deletion_grace_days: int = Field(
        default=30, ge=0, description="days in which a deletion can be cancelled"
    )
    signup_rate_per_minute: int = Field(default=10, ge=1, description="sign-ups per client address")


def settings_of(kernel: Kernel) -> TenantsSettings:
    """The kernel's settings with their type."""
    if not isinstance(kernel.settings, TenantsSettings):
        raise TypeError("not a kernel of tenants")
    return kernel.settings
