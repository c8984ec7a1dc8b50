"""Settings of the service."""

from datetime import timedelta

from pydantic import Field, SecretStr

from common.web.kernel import Kernel
from common.web.service_tokens import CallingSettings
from tenants.billing.rules import GRACE


class TenantsSettings(CallingSettings):
    stripe_secret_key: SecretStr
    stripe_api_base: str = "https://api.stripe.com"
    stripe_webhook_secret: SecretStr = Field(
        min_length=16, description="`whsec_…` of the webhook endpoint: verifies what Stripe tells"
    )
    stripe_webhook_tolerance: int = Field(
        default=300, ge=1, description="age in seconds up to which it is heard"
    )
    billing_grace_days: float = Field(
        default=GRACE / timedelta(days=1), ge=0, description="from unpaid or canceled to the suspension"
    )
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
