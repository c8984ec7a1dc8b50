"""What the service does about events, beyond the kernel's projections."""

from auth.account.service import register_owner
from auth.mail.service import retry_welcome_mail
from common.bus.projections import Handler, Skippable
from common.contracts.envelope import Event
from common.contracts.tenants import ProvisioningResumed, TenantProvisioned

HANDLERS: dict[type[Event], Handler] = {
    TenantProvisioned: register_owner,
    ProvisioningResumed: Skippable(retry_welcome_mail),
}
