"""Facts that refuse a request."""

from common.errors import Conflict


class ContactExists(Conflict):
    code = "contact_exists"

    def __init__(self) -> None:
        super().__init__("The workspace has a contact with this e-mail address.")


class ContactUndeliverable(Conflict):
    """The contact has bounced or complained: its status can no longer be chosen."""

    code = "contact_undeliverable"

    def __init__(self, status: str) -> None:
        super().__init__(f"The contact is {status}; its status can no longer be chosen.")
