"""Every failure becomes a problem document (RFC 9457), and refusals become audit events."""

import logging
from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse

from common import telemetry
from common.context import Principal, UserContext
from common.contracts.audit import Target
from common.db.errors import DRIVER_ERRORS, EntryRefused, MemberUnknown, is_unavailable, is_wall_violation
from common.errors import (
    ApiError,
    BadRequest,
    CrossTenantForbidden,
    Invalid,
    MethodNotAllowed,
    NotFound,
    PayloadTooLarge,
    ResourceNotFound,
    Unauthenticated,
    Unavailable,
    type_of,
)
from common.web.kernel import kernel_of
from common.web.middleware import BODY_LIMIT
from common.web.platform import operator_of
from common.web.routes import is_foreign, methods_at, path_targets, request_info

log = logging.getLogger(__name__)

ERRORS_OF_EVERY_ROUTE: tuple[type[ApiError], ...] = (ApiError, BadRequest, Unavailable)
"""What any route may answer: something broke, is not HTTP for the gateway, or a dependency is away."""
_RECORDED = (401, 403)
_NO_OBJECT = ("dict_type", "model_attributes_type", "model_type")
"""What Pydantic finds where a body is no object, or has not been read as JSON."""
_STANDING_ENDED = (EntryRefused, MemberUnknown)
_BELOW_US = (SQLAlchemyError, OSError, *DRIVER_ERRORS)


def install(app: FastAPI) -> None:
    """Register all handlers."""
    app.add_exception_handler(ApiError, answer_api_error)
    app.add_exception_handler(RequestValidationError, answer_validation)
    app.add_exception_handler(HTTPException, answer_framework_error)
    for kind in (EntryRefused, MemberUnknown, *_BELOW_US, Exception):
        app.add_exception_handler(kind, answer_unexpected)


async def answer(request: Request, error: Exception) -> JSONResponse:
    """What the handlers answer to `error`; for those whom the framework does not ask them for."""
    if isinstance(error, ApiError):
        return await answer_api_error(request, error)
    if isinstance(error, RequestValidationError):
        return await answer_validation(request, error)
    if isinstance(error, HTTPException):
        return await answer_framework_error(request, error)
    return await answer_unexpected(request, error)


def problem(request: Request, error: ApiError) -> JSONResponse:
    """The problem document of `error`."""
    document: dict[str, Any] = {
        "type": type_of(error.code),
        "title": error.title,
        "status": error.status,
        "detail": error.detail,
        "instance": request.url.path,
        "code": error.code,
        "trace_id": telemetry.current_trace_id(),
        **error.members,
    }
    if isinstance(error, Invalid):
        document["errors"] = [{"pointer": pointer, "message": text} for pointer, text in error.problems]
    return JSONResponse(document, error.status, headers=error.headers, media_type="application/problem+json")


async def answer_api_error(request: Request, error: Exception) -> JSONResponse:
    """Answer a known error, after recording the refusal; if it cannot be recorded, answer 503."""
    if not isinstance(error, ApiError):
        raise error
    try:
        await _record(request, error)
    except Exception as failure:
        if not is_unavailable(failure):
            raise
        return problem(request, Unavailable())
    return problem(request, error)


async def _record(request: Request, error: ApiError) -> None:
    kernel = kernel_of(request)
    caller: Principal | None = getattr(request.state, "caller", None) or operator_of(request)
    info = caller.request if caller else request_info(request)
    if isinstance(error, ResourceNotFound) and caller is not None:
        await kernel.access_log.missed(caller, info, Target(type=error.resource, id=error.text))
    elif error.status in _RECORDED:
        targets = path_targets(request.path_params)
        await kernel.access_log.denied(
            caller,
            info,
            status=error.status,
            code=error.code,
            named_tenant=(error.named or "") if isinstance(error, CrossTenantForbidden) else None,
            target=targets[-1] if targets else None,
        )


async def answer_validation(request: Request, error: Exception) -> JSONResponse:
    """422; 404 for an impossible id in the path; 403 when the refused body names a foreign tenant."""
    if not isinstance(error, RequestValidationError):
        raise error
    problems: Sequence[dict[str, Any]] = error.errors()
    caller: UserContext | None = getattr(request.state, "caller", None)
    if any(item["loc"][0] == "path" for item in problems):
        return problem(request, NotFound())
    for item in problems:
        value: object = item.get("input")
        if item["loc"][-1] != "tenant_id" or not isinstance(value, str) or caller is None:
            continue
        if is_foreign(value, caller):
            return await answer_api_error(request, CrossTenantForbidden(named=value))
    return problem(request, Invalid([_place_and_message(request, item) for item in problems[:50]]))


def _pointer(location: Sequence[str | int]) -> str:
    """JSON pointer (RFC 6901) into the body, or `/query/…` and `/header/…`."""
    parts = location[1:] if location[0] == "body" else location
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)[:200]


def _place_and_message(request: Request, item: dict[str, Any]) -> tuple[str, str]:
    location, kind = item["loc"], item["type"]
    if kind == "json_invalid":
        return "", f"is not valid JSON (character {location[-1] + 1})"
    if kind in _NO_OBJECT and tuple(location) == ("body",):
        return "", "must be a JSON object" if _is_json(
            request
        ) else "send it with Content-Type: application/json"
    return _pointer(location), str(item["msg"])[:200]


def _is_json(request: Request) -> bool:
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    return content_type == "application/json" or content_type.endswith("+json")


async def answer_framework_error(request: Request, error: Exception) -> JSONResponse:
    """The framework's own errors: unknown routes, wrong methods, bodies it cannot parse."""
    if not isinstance(error, HTTPException):
        raise error
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, PayloadTooLarge):
            return problem(request, cause)
        cause = cause.__cause__
    if error.status_code == 404:
        return problem(request, NotFound())
    if error.status_code == 405:
        methods = methods_at(request.app.routes, request.url.path)
        return problem(request, MethodNotAllowed(headers={"Allow": ", ".join(methods)}))
    if error.status_code == 413:
        return problem(request, PayloadTooLarge(BODY_LIMIT))
    return problem(request, Invalid([("", "is not a body this operation can read")]))


async def answer_unexpected(request: Request, error: Exception) -> JSONResponse:
    """A database that is away is 503, a wall violation 403 and audited; everything else is our bug.

    A transaction begun again in the middle of a request may find that the caller's standing has ended.
    """
    if isinstance(error, EntryRefused):
        return await answer_api_error(request, Unauthenticated())
    if isinstance(error, MemberUnknown):
        return problem(request, Unavailable())
    if is_unavailable(error):
        log.warning("dependency away", extra={"fields": {"error": type(error).__name__}})
        return problem(request, Unavailable())
    if is_wall_violation(error):
        return await answer_api_error(request, CrossTenantForbidden(named=None))
    log.error("unexpected error", exc_info=error)
    return problem(request, ApiError())
