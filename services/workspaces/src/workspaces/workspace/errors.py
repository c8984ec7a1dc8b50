"""Facts that refuse a request."""

from common.errors import Conflict


class SlugTaken(Conflict):
    code = "slug_taken"

    def __init__(self, slug: str) -> None:
        super().__init__(f"Another workspace has the slug {slug}.")
