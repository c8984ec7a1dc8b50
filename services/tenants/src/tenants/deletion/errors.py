"""Facts that refuse a request."""

from common.errors import Conflict, Invalid


class DeletionScheduled(Conflict):
    """The tenant is being deleted already; `GET` on its deletion says when."""

    code = "deletion_scheduled"

    def __init__(self) -> None:
        super().__init__("The deletion of the tenant is scheduled already.")


class CompanyNameMismatch(Invalid):
    """The name given to confirm the deletion is not the company's."""

    code = "company_name_mismatch"

    def __init__(self) -> None:
        super().__init__([("/company_name", "is not the company's name")])
