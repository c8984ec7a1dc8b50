"""Facts that refuse a request."""

from common.errors import ApiError


class WebhookInvalid(ApiError):
    """The body is not what Stripe signed, was signed too long ago, or is no event."""

    status = 400
    code = "webhook_invalid"
    title = "Bad Request"

    def __init__(self) -> None:
        super().__init__("The signature does not belong to this body, or is too old.")
