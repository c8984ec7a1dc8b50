"""Facts that refuse an operator."""

from auth.login.errors import InvalidCredentials
from common.errors import ApiError, Conflict


class MfaRequired(ApiError):
    """The password was right: its `mfa_token` and a code give the token together."""

    status = 401
    code = "mfa_required"
    title = "Unauthorized"

    def __init__(self, mfa_token: str) -> None:
        super().__init__("Send the mfa_token together with a code of your app.")
        self.members["mfa_token"] = mfa_token


class InvalidCode(InvalidCredentials):
    """The code or the `mfa_token` is wrong, was used, or has expired."""

    code = "invalid_code"

    def __init__(self) -> None:
        super().__init__()
        self.detail = "The code or the mfa_token is wrong, was used, or has expired."


class OperatorExists(Conflict):
    """An operator has this address already."""

    code = "operator_exists"

    def __init__(self) -> None:
        super().__init__("An operator has this address already.")
