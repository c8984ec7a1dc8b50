"""Facts that refuse a request."""

from common.errors import ApiError, Invalid


class TokenUsedOrExpired(ApiError):
    """Also for tokens that never were: the answer does not tell which."""

    status = 410
    code = "token_used_or_expired"
    title = "Gone"

    def __init__(self) -> None:
        super().__init__("The link was used or has expired; ask for a new one.")


class WeakPassword(Invalid):
    """The password is easy to guess; `errors` says why."""

    code = "weak_password"

    def __init__(self, why: str) -> None:
        super().__init__([("/password", why)])
