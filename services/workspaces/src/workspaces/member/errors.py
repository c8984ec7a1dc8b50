"""Facts that refuse a request."""

from common.errors import Conflict


class AlreadyMember(Conflict):
    code = "already_member"

    def __init__(self) -> None:
        super().__init__("The user is a member of this workspace already.")
