"""Facts that refuse a request."""

from common.errors import Conflict


class SignUpOver(Conflict):
    """Tokens of a sign-up are for active owners who cannot log in yet."""

    code = "sign_up_over"

    def __init__(self) -> None:
        super().__init__("The user logs in with a password.")
