"""Facts that refuse a request."""

from common.errors import Conflict


class ListExists(Conflict):
    code = "list_exists"

    def __init__(self) -> None:
        super().__init__("The workspace has a list with this name.")


class ListInUse(Conflict):
    code = "list_in_use"

    def __init__(self) -> None:
        super().__init__("A campaign uses the list.")
