"""`docs/api.md`: every endpoint in a line, from the code."""

from collections.abc import Iterable

from common.errors import TooManyRequests
from common.web.openapi import Operation

_HEAD = """# API

Made from the code of the services by `make docs`; do not edit. The document for programs is
[openapi.json](openapi.json), served at `/openapi.json`; the same for people is at `/docs`. Error codes:
[errors.md](errors.md). Events: [events.md](events.md).

- **who**: the role in the tenant, or in the workspace concerned (tenant owners and admins act as its
  admin). Roles are those the database knows at the time of the request.
- **codes**: the answers that belong to the endpoint. Any may also answer 400 `bad_request`, 500
  `internal_error` and 503 `unavailable`; with a token 401 `unauthenticated`, 403 `cross_tenant_forbidden` and
  `tenant_suspended`, and 429 `rate_limited` over the tenant's requests per minute (see below); with a body
  413 `payload_too_large` and 422 `validation_failed`.
- **idempotent**: `yes` by nature, `key` with the header `Idempotency-Key`.
- **evented**: the events that the endpoint's own code emits. **audited**: what the audit log says of a
  success; refusals (401, 403) and misses (404) of tenants' endpoints are in it always.

Every answer to a token that is accepted says in `RateLimit-Policy` and `RateLimit` what the tenant, over all
its users, may ask of all services in a minute (`api_rate_limit` of its features) and what is left; 429 comes
with `Retry-After`. Ending sessions (`/auth/logout`, `/auth/logout-all`, `DELETE /auth/sessions/{session_id}`)
is counted for each session by itself: what others ask cannot keep anybody signed in.

`operator`: an operator of the platform, with a token of their own audience. It opens nothing of tenants but
these endpoints; what it does to a tenant is in the tenant's audit log and in the platform's, with the
operator as the actor. The limit it shows is the operator's own.
"""
_COLUMNS = "| endpoint | who | codes | idempotent | evented | audited |\n|---|---|---|---|---|---|\n"
_COMMON = {
    "bad_request",
    "internal_error",
    "unavailable",
    "unauthenticated",
    "cross_tenant_forbidden",
    "tenant_suspended",
    "payload_too_large",
    "validation_failed",
    "idempotency_in_progress",
    "idempotency_key_reused",
}


def render(operations: Iterable[Operation]) -> str:
    """The page; one table per service."""
    lines: dict[str, list[str]] = {}
    for operation in sorted(operations, key=lambda one: (one.route.path_format, one.method)):
        lines.setdefault(operation.service, []).append(_line(operation))
    tables = (f"\n## `{service}`\n\n{_COLUMNS}{''.join(rows)}" for service, rows in sorted(lines.items()))
    return _HEAD + "".join(tables)


def _line(operation: Operation) -> str:
    path = operation.route.path_format.removeprefix("/api/v1")
    cells = (
        f"`{operation.method.upper()} {path}`",
        _who(operation),
        _codes(operation),
        _idempotent(operation),
        ", ".join(f"`{event.__name__}`" for event in _events(operation)) or "–",
        _audited(operation),
    )
    return f"| {' | '.join(cells)} |\n"


def _events(operation: Operation) -> list[type]:
    return sorted(operation.effects.events, key=lambda event: event.__name__)


def _who(operation: Operation) -> str:
    effects = operation.effects
    if operation.is_platforms:
        return "operator"
    if not operation.is_tenants:
        return "anybody"
    if effects.roles:
        return ", ".join(effects.roles)
    if effects.workspace_roles:
        return f"{', '.join(effects.workspace_roles)} of the workspace"
    return "everybody in the workspace" if effects.judged else "every user"


def _codes(operation: Operation) -> str:
    found = [f"{status} `{code}`" for status, codes in operation.codes().items() for code in codes]
    counted = operation.is_tenants or operation.is_platforms
    common = _COMMON | {TooManyRequests.code} if counted else _COMMON
    return ", ".join(one for one in found if one.partition("`")[2].rstrip("`") not in common) or "–"


def _idempotent(operation: Operation) -> str:
    if operation.method != "post":
        return "yes"
    own = {field.alias.lower() for field in operation.route.dependant.header_params}
    return "key" if operation.is_keyed or "idempotency-key" in own else "no"


def _audited(operation: Operation) -> str:
    actions = sorted({event.ACTION for event in operation.effects.events if event.ACTION})
    if actions:
        return ", ".join(f"`{action}`" for action in actions)
    counted = operation.is_tenants or operation.is_platforms
    return "the read" if counted and operation.method == "get" else "–"
