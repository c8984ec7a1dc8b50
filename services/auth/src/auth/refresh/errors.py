"""Facts that refuse a refresh."""

from common.errors import ApiError, Conflict


class InvalidRefreshToken(ApiError):
    """Unknown, expired, spent or of a session that has ended; the answer never says which."""

    status = 401
    code = "invalid_refresh_token"
    title = "Unauthorized"

    def __init__(self) -> None:
        super().__init__("The refresh token is worth nothing (any more): log in again.")


class RefreshInProgress(Conflict):
    """A parallel request has just spent the token; its successor is on its way to the caller."""

    code = "refresh_in_progress"

    def __init__(self) -> None:
        super().__init__("Another request has just used this token; use the tokens it was answered.")
