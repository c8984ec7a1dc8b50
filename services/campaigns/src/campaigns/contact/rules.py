"""Pure rules of contacts."""

from campaigns.contact.errors import ContactUndeliverable


def assert_status_free(status: str) -> None:
    """Who bounced or complained is not made subscribed again by hand.

    Raises:
        ContactUndeliverable: the contact has bounced or complained.
    """
    if status in ("bounced", "complained"):
        raise ContactUndeliverable(status)
