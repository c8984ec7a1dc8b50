"""Facts that refuse a request."""

from common.errors import Conflict


class TemplateExists(Conflict):
    code = "template_exists"

    def __init__(self) -> None:
        super().__init__("The workspace has a template with this name.")
