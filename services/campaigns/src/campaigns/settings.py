"""Settings of the service."""

from pydantic import Field

from common.sealing import SealingSettings
from common.web.kernel import Kernel


class CampaignsSettings(SealingSettings):
    mail_host: str = Field(
        default="mail.penguinmails.test",
        description="tenants' DNS names `spf.` of it (SPF) and `bounces.` of it (return path)",
    )
    dkim_threads: int = Field(default=2, ge=1, description="RSA keys made at a time")
    dkim_queue: int = Field(default=64, ge=1, description="requests waiting to make one; beyond it 503")


def settings_of(kernel: Kernel) -> CampaignsSettings:
    """The kernel's settings with their type."""
    if not isinstance(kernel.settings, CampaignsSettings):
        raise TypeError("not a kernel of campaigns")
    return kernel.settings
