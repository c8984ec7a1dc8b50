"""Facts that refuse a log-in."""

from collections.abc import Sequence
from uuid import UUID

from common.errors import ApiError, Conflict
from common.ids import Kind, to_text


class InvalidCredentials(ApiError):
    """The same for unknown addresses, wrong passwords and closed accounts."""

    status = 401
    code = "invalid_credentials"
    title = "Unauthorized"

    def __init__(self) -> None:
        super().__init__("E-mail address and password do not fit together.")


class TenantRequired(Conflict):
    """The password opens accounts in several tenants; `tenants` lists just those."""

    code = "tenant_required"

    def __init__(self, tenants: Sequence[tuple[UUID, str]]) -> None:
        super().__init__("The password fits several accounts: say which with tenant_id.")
        self.members["tenants"] = [
            {"tenant_id": to_text(Kind.TENANT, tenant_id), "name": name} for tenant_id, name in tenants
        ]
