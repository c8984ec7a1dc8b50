"""What the service does about events, beyond the kernel's projections."""

from common.bus.projections import Handler
from common.contracts.auth import UserDeactivated
from common.contracts.envelope import Event
from common.contracts.tenants import TenantProvisioned
from workspaces.member.service import end_memberships_of
from workspaces.provisioning import create_default_workspace

HANDLERS: dict[type[Event], Handler] = {
    TenantProvisioned: create_default_workspace,
    UserDeactivated: end_memberships_of,
}
