"""Facts that refuse a request."""

from common.errors import Conflict


class PasswordAlreadySet(Conflict):
    """Tokens of a sign-up are issued only until the owner can log in."""

    code = "password_already_set"

    def __init__(self) -> None:
        super().__init__("The owner has set a password and logs in with it.")
