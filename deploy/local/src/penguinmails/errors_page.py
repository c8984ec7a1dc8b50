"""`docs/errors.md`: every error code, from the error classes of the code and the gateway's configuration."""

import re
from collections.abc import Iterator
from inspect import signature

from common.errors import ApiError
from penguinmails import gateway

_HEAD = """# Errors

Made from the code of the services by `make docs`; do not edit.

Every error is `application/problem+json` (RFC 9457) with `type`, `title`, `status`, `detail`, `instance`,
`code` and `trace_id`; those of status 422 add `errors`, a list of `pointer` and `message`. `code` never
changes its meaning; `type` is the same as a URI. Which endpoint answers which code: [api.md](api.md).

| status | code | means | of |
|---|---|---|---|
"""
_LOCAL_REPLY = re.compile(r'status: (\d{3}|"%RESPONSE_CODE%"), detail: "([^"]+)".*? code: (\w+)')


class AmbiguousCode(ValueError):
    """A code of two classes, or one whose meaning nobody says."""


def render() -> str:
    """The page. All services must have been imported.

    Raises:
        AmbiguousCode: a client could not tell what a code means.
    """
    kinds: dict[str, type[ApiError]] = {}
    for kind in _kinds(ApiError):
        if kinds.setdefault(kind.code, kind) is not kind:
            raise AmbiguousCode(f"{kind.code} is of {kind} and of {kinds[kind.code]}")
    lines = [_line(kind) for kind in kinds.values()]
    found: list[tuple[str, str, str]] = _LOCAL_REPLY.findall(gateway.TEMPLATE.read_text())
    lines += [
        f"| {status if status.isdigit() else 'any other'} | `{code}` | {text} | the gateway |"
        for status, text, code in found
        if code not in kinds
    ]
    return _HEAD + "".join(f"{line}\n" for line in sorted(lines))


def _kinds(base: type[ApiError]) -> Iterator[type[ApiError]]:
    """The classes that have a code of their own."""
    if "code" in vars(base):
        yield base
    for kind in base.__subclasses__():
        yield from _kinds(kind)


def _line(kind: type[ApiError]) -> str:
    package = kind.__module__.partition(".")[0]
    owner = "every service" if package == "common" else f"`{package}`"
    return f"| {kind.status} | `{kind.code}` | {_meaning(kind)} | {owner} |"


def _meaning(kind: type[ApiError]) -> str:
    """The first line of the docstring, or else what the answer always says.

    Raises:
        AmbiguousCode: nothing says what it means.
    """
    if vars(kind).get("__doc__"):
        return str(kind.__doc__).splitlines()[0]
    if any(one.default is one.empty for one in signature(kind).parameters.values()):
        raise AmbiguousCode(f"{kind} has no docstring")
    return kind().detail
