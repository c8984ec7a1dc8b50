"""Facts that refuse a request."""

from common.errors import ApiError


class IdempotencyKeyReused(ApiError):
    status = 422
    code = "idempotency_key_reused"
    title = "Unprocessable Content"

    def __init__(self) -> None:
        super().__init__("This Idempotency-Key was used for another request.")
