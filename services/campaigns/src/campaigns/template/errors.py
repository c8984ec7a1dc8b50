"""Facts that refuse a request."""

from common.errors import Conflict


class TemplateExists(Conflict):
    code = "template_exists"

    def __init__(self) -> None:
        super().__init__("The workspace has a template with this name.")


class TemplateInUse(Conflict):
    code = "template_in_use"

    def __init__(self) -> None:
        super().__init__("A campaign uses the template.")
