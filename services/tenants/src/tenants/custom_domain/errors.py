"""Facts that refuse a request."""

from common.errors import Conflict


class DomainUnavailable(Conflict):
    """Somebody has it, or it is not for tenants; nobody learns more."""

    code = "domain_unavailable"

    def __init__(self) -> None:
        super().__init__("This domain is not available.")
