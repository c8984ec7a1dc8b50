"""Facts that refuse a request."""

from common.errors import Conflict


class DomainExists(Conflict):
    code = "domain_exists"

    def __init__(self) -> None:
        super().__init__("The tenant has this domain already.")
