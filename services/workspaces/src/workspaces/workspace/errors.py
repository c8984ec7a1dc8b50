"""Facts that refuse a request."""

from common.errors import Conflict


class SlugTaken(Conflict):
    code = "slug_taken"

    def __init__(self) -> None:
        super().__init__("Another workspace has this slug.")
