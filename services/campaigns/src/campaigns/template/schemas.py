"""Requests and answers."""

from collections.abc import Callable
from typing import Annotated

from pydantic import AfterValidator, Field

from common.ids import TemplateId, WorkspaceId
from common.schema import Answer, Body, NotNull, Text, Timestamp

MAX_HTML_BYTES = 512 * 1024
MAX_TEXT_BYTES = 256 * 1024


def _storable_up_to(limit: int) -> Callable[[str], str]:
    """Any text that the database can store, of at most `limit` bytes of UTF-8."""

    def check(text: str) -> str:
        if "\x00" in text:
            raise ValueError("must not contain NUL")
        if len(text.encode()) > limit:
            raise ValueError(f"must not be larger than {limit} bytes")
        return text

    return check


# Characters are counted first: whatever has too many of them is not even encoded.
Html = Annotated[
    str, Field(min_length=1, max_length=MAX_HTML_BYTES), AfterValidator(_storable_up_to(MAX_HTML_BYTES))
]
PlainText = Annotated[
    str, Field(min_length=1, max_length=MAX_TEXT_BYTES), AfterValidator(_storable_up_to(MAX_TEXT_BYTES))
]


class TemplateCreate(Body):
    workspace_id: WorkspaceId
    name: Text = Field(examples=["Welcome"])
    subject: Text = Field(examples=["Welcome to Acme"])
    html: Html = Field(examples=["<p>Good to have you here.</p>"])
    text: PlainText | None = Field(default=None, examples=["Good to have you here."])


class TemplateUpdate(Body):
    """Fields left out stay as they are; a null `text` removes it."""

    name: Annotated[Text | None, NotNull] = Field(default=None, examples=["Welcome"])
    subject: Annotated[Text | None, NotNull] = None
    html: Annotated[Html | None, NotNull] = None
    text: PlainText | None = None


class TemplateSummary(Answer):
    """A template in a list: without its contents, which can be large."""

    template_id: TemplateId
    workspace_id: WorkspaceId
    name: str
    subject: str
    created_at: Timestamp
    updated_at: Timestamp


class Template(TemplateSummary):
    html: str
    text: str | None
