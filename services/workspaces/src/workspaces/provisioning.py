"""The service's part of provisioning: the default workspace of a new tenant."""

from common.contracts.tenants import TenantProvisioned
from common.db.session import TenantSession
from workspaces.models import WorkspaceRow
from workspaces.workspace.service import add_workspace


async def create_default_workspace(session: TenantSession, event: TenantProvisioned) -> None:
    """Create the workspace whose id the tenants service allocated, with the owner as admin."""
    workspace = event.default_workspace
    row = WorkspaceRow(
        workspace_id=workspace.workspace_id, name=workspace.name, slug=workspace.slug, description=""
    )
    await add_workspace(session, row, event.owner.user_id)
