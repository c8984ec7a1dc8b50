"""Strong ETags from row versions (RFC 9110, 8.8.3) and `If-Match`."""

from typing import Annotated

from fastapi import Header
from starlette.responses import Response

from common.errors import PreconditionFailed, PreconditionRequired

IfMatch = Annotated[str | None, Header(max_length=200, description="ETag of the state changed")]


def etag(version: int) -> str:
    return f'"v{version}"'


def set_etag(response: Response, version: int) -> None:
    response.headers["ETag"] = etag(version)


def check_version(if_match: str | None, version: int) -> None:
    """Compare `If-Match` with the locked row's version; absent or `*` matches any.

    Raises:
        PreconditionFailed: the row has changed since.
    """
    if if_match is None or if_match.strip() == "*":
        return
    if etag(version) not in {candidate.strip() for candidate in if_match.split(",")}:
        raise PreconditionFailed


def require_version(if_match: str | None, version: int) -> None:
    """Like `check_version`, where a change must say which state it changes.

    Raises:
        PreconditionRequired: there is no `If-Match`.
        PreconditionFailed: the row has changed since.
    """
    if if_match is None:
        raise PreconditionRequired
    check_version(if_match, version)
