"""Errors of the API. The exception tree is the list: status, stable code, public title.

A detail never holds SQL, a stack trace or a foreign id.
"""

from typing import Any, ClassVar
from uuid import UUID


def type_of(code: str) -> str:
    """The `type` of problems with this code, here and in the gateway's configuration."""
    return f"https://penguinmails.dev/errors/{code}"


class ApiError(Exception):
    """Something went wrong here; the trace id leads operators to it.

    Base of all errors that become a problem document (RFC 9457).
    """

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"
    title: ClassVar[str] = "Internal Server Error"

    def __init__(self, detail: str | None = None, *, headers: dict[str, str] | None = None) -> None:
        super().__init__(detail or self.title)
        self.detail = detail or self.title
        self.headers = headers or {}
        self.members: dict[str, Any] = {}
        """Further members of the problem document, for the caller to act on."""


class BadRequest(ApiError):
    """The gateway's, about what is not HTTP or not an unambiguous path; no service sees the request."""

    status = 400
    code = "bad_request"
    title = "Bad Request"


class Unauthenticated(ApiError):
    """No, expired, forged or revoked token; the answer never says which."""

    status = 401
    code = "unauthenticated"
    title = "Unauthorized"

    def __init__(self) -> None:
        super().__init__(
            "A valid access token is required.",
            headers={"WWW-Authenticate": 'Bearer realm="penguinmails", error="invalid_token"'},
        )


class Forbidden(ApiError):
    status = 403
    code = "forbidden"
    title = "Forbidden"

    def __init__(self, detail: str = "Your role does not allow this.") -> None:
        super().__init__(detail)


class TenantSuspended(Forbidden):
    code = "tenant_suspended"

    def __init__(self) -> None:
        super().__init__("The tenant is suspended: owners and admins may read, nobody may change anything.")


class LimitExceeded(Forbidden):
    """A limit of the plan is reached; `limit`, `current` and `maximum` say which, and so does `detail`."""

    code = "limit_exceeded"

    def __init__(self, limit: str, current: int, maximum: int) -> None:
        super().__init__(f"Limit {limit} reached: {current} of {maximum} in use.")
        self.members = {"limit": limit, "current": current, "maximum": maximum}


class CrossTenantForbidden(ApiError):
    """The request names a tenant other than the token's.

    `named` goes to the audit log only.
    """

    status = 403
    code = "cross_tenant_forbidden"
    title = "Forbidden"

    def __init__(self, named: str | None) -> None:
        super().__init__("The request names a tenant that is not yours.")
        self.named = named


class NotFound(ApiError):
    """No such route, or an identifier that cannot be one."""

    status = 404
    code = "not_found"
    title = "Not Found"

    def __init__(self) -> None:
        super().__init__("There is nothing here.")


class ResourceNotFound(NotFound):
    """A look-up by id found nothing in the caller's tenant; recorded as `AccessMissed`."""

    def __init__(self, resource: str, resource_id: UUID, text: str) -> None:
        super().__init__()
        self.resource = resource
        self.resource_id = resource_id
        self.text = text


class MethodNotAllowed(ApiError):
    """The path does not take this method; `Allow` says which it takes."""

    status = 405
    code = "method_not_allowed"
    title = "Method Not Allowed"


class Conflict(ApiError):
    """Another change was faster; fetch again and decide anew."""

    status = 409
    code = "conflict"
    title = "Conflict"


class IdempotencyInProgress(Conflict):
    code = "idempotency_in_progress"

    def __init__(self) -> None:
        super().__init__(
            "A request with this Idempotency-Key is still running.", headers={"Retry-After": "1"}
        )


class PreconditionFailed(ApiError):
    status = 412
    code = "precondition_failed"
    title = "Precondition Failed"

    def __init__(self) -> None:
        super().__init__("The resource has changed since: fetch it again and retry with its new ETag.")


class PreconditionRequired(ApiError):
    status = 428
    code = "precondition_required"
    title = "Precondition Required"

    def __init__(self) -> None:
        super().__init__("Send If-Match with the ETag of the state you change, or * for any.")


class PayloadTooLarge(ApiError):
    """The body is larger than the server takes."""

    status = 413
    code = "payload_too_large"
    title = "Content Too Large"

    def __init__(self, limit: int) -> None:
        super().__init__(f"The body is larger than {limit} bytes.")


class Invalid(ApiError):
    """The payload or a parameter is not acceptable; `errors` says where and why.

    `problems` are pairs of a JSON pointer and a message.
    """

    status = 422
    code = "validation_failed"
    title = "Unprocessable Content"

    def __init__(self, problems: list[tuple[str, str]]) -> None:
        super().__init__("The request is not acceptable; see errors.")
        self.problems = problems


class IdempotencyKeyReused(Invalid):
    """The key was used for another request."""

    code = "idempotency_key_reused"

    def __init__(self) -> None:
        super().__init__([("/header/Idempotency-Key", "was used for another request")])


class InvalidCursor(Invalid):
    """The cursor is not one of this list."""

    code = "invalid_cursor"

    def __init__(self) -> None:
        super().__init__([("/query/cursor", "is not a cursor of this list")])


class TooManyRequests(ApiError):
    """The request is one too many for now; come back after `Retry-After` seconds."""

    status = 429
    code = "rate_limited"
    title = "Too Many Requests"

    def __init__(self, retry_after: int) -> None:
        super().__init__("Too many requests; slow down.", headers={"Retry-After": str(retry_after)})


class Unavailable(ApiError):
    """A dependency is away; the same request may succeed after `Retry-After` seconds."""

    status = 503
    code = "unavailable"
    title = "Service Unavailable"

    def __init__(self, retry_after: int = 1) -> None:
        super().__init__("A dependency is away; try again.", headers={"Retry-After": str(retry_after)})
