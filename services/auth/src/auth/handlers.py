"""What the service does about events, beyond the kernel's projections."""

from auth.account.service import register_owner
from common.bus.projections import Handler
from common.contracts.envelope import Event
from common.contracts.tenants import TenantProvisioned

HANDLERS: dict[type[Event], Handler] = {
    TenantProvisioned: register_owner,
}
