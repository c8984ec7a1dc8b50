"""Facts that refuse a request."""

from common.errors import Conflict, Unavailable


class BillingNotReady(Conflict):
    """The tenant has no customer at Stripe yet; the sign-up goes on, ask again."""

    code = "billing_not_ready"

    def __init__(self) -> None:
        super().__init__("Billing is still being set up; try again.", headers={"Retry-After": "2"})


class BillingUnavailable(Unavailable):
    """Stripe is away or refuses; nothing was changed."""

    code = "billing_unavailable"
