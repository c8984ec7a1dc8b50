"""Facts that refuse a request."""

from common.errors import Conflict


class AlreadyUser(Conflict):
    code = "already_user"

    def __init__(self) -> None:
        super().__init__("The tenant has an account of this address already.")


class AlreadyInvited(Conflict):
    code = "already_invited"

    def __init__(self) -> None:
        super().__init__("An invitation of this address is open: revoke it first.")


class AlreadyAccepted(Conflict):
    code = "invitation_accepted"

    def __init__(self) -> None:
        super().__init__("The invitation was accepted: deactivate the user instead.")
