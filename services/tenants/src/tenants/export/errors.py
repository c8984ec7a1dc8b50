"""Facts that refuse a request."""

from common.errors import Conflict


class ExportRunning(Conflict):
    """One export at a time: it is made of everything."""

    code = "export_running"

    def __init__(self) -> None:
        super().__init__("An export of the tenant is being made.")
