"""What the service does about events, beyond the kernel's projections."""

from common.bus.projections import Handler
from common.contracts.auth import UserDeactivated, UserRegistered
from common.contracts.envelope import Event
from common.contracts.tenants import TenantProvisioned
from workspaces.member.service import begin_memberships_of, end_memberships_of
from workspaces.provisioning import create_default_workspace

HANDLERS: dict[type[Event], Handler] = {
    TenantProvisioned: create_default_workspace,
    UserRegistered: begin_memberships_of,
    UserDeactivated: end_memberships_of,
}
