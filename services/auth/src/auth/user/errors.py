"""Facts that refuse a request."""

from common.errors import Conflict


class LastOwner(Conflict):
    code = "last_owner"

    def __init__(self) -> None:
        super().__init__("A tenant has at least one owner: make somebody else one first.")


class UserClosed(Conflict):
    code = "user_deactivated"

    def __init__(self) -> None:
        super().__init__("The user is deactivated.")
