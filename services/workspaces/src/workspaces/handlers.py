"""What the service does about events, beyond the kernel's projections."""

from common.contracts.auth import UserDeactivated
from common.contracts.tenants import TenantProvisioned
from workspaces.member.service import end_memberships_of
from workspaces.provisioning import create_default_workspace

HANDLERS = {
    TenantProvisioned: create_default_workspace,
    UserDeactivated: end_memberships_of,
}
