"""What the service does about events, beyond the kernel's projections."""

from campaigns.campaign.service import pause_for_tenant
from common.bus.projections import Handler
from common.contracts.envelope import Event
from common.contracts.tenants import TenantDeletionScheduled, TenantSuspended

HANDLERS: dict[type[Event], Handler] = {
    TenantSuspended: pause_for_tenant,
    TenantDeletionScheduled: pause_for_tenant,
}
