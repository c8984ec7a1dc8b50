"""Puts real identifiers and secrets into generated requests, so that they reach more than a 404."""

from collections.abc import Callable
from typing import Any

from schemathesis.core.parameters import ParameterLocation
from schemathesis.generation.case import Case

from common.ids import Kind
from tests.contract.company import PASSWORD, Company
from tests.contract.document import ids_in, kind_of, replaced
from tests.contract.operator import Operator

Json = dict[str, Any]

SPENDING = {
    "POST /api/v1/auth/logout",
    "POST /api/v1/auth/logout-all",
    "POST /api/v1/auth/password/reset",
    "DELETE /api/v1/auth/sessions/{session_id}",
    "POST /api/v1/tenants/{tenant_id}/deletion",
    "POST /api/v1/billing/plan",
}
"""Operations after whose success the caller can do nothing more, hardly anything, or less often."""

REFRESHING = "POST /api/v1/auth/refresh"
"""A token that is spent twice ends the session."""


def feed(case: Case, company: Company, operator: Operator | None = None) -> None:
    """Replace what names resources in those parts of a request that are not wrong on purpose."""
    if not _is_wrong(case, ParameterLocation.QUERY):
        _feed_query(case, company)
    if case.headers and "If-Match" in case.headers and not _is_wrong(case, ParameterLocation.HEADER):
        case.headers["If-Match"] = "*"
    if isinstance(case.body, dict) and not _is_wrong(case, ParameterLocation.BODY):
        case.body = fed_body(case.operation.label, case.body, company)
        if operator is not None and case.operation.label == "POST /api/v1/platform/auth/login":
            case.body |= {"email": operator.email, "password": PASSWORD}
    if not _is_wrong(case, ParameterLocation.PATH):
        ids = _path_ids(case, company)
        if operator is not None and case.operation.label.endswith("/reconciliations/{job_id}"):
            ids["job_id"] = operator.comparison(ids.get("tenant_id"))
        case.path_parameters = {**(case.path_parameters or {}), **ids}
        prepare(case.operation.label, ids, company)


def _is_wrong(case: Case, location: ParameterLocation) -> bool:
    return case.meta is not None and case.meta.is_negative_at(location)


def _path_ids(case: Case, company: Company) -> dict[str, str]:
    """Resources for the path; one that the operation takes away is new each time."""
    kinds = {item.name: kind_of(item.definition["schema"]) for item in case.operation.path_parameters}
    source = company.make if case.method == "DELETE" and len(kinds) == 1 else company.id_of
    return {name: source(kind) for name, kind in kinds.items() if kind}


def _feed_query(case: Case, company: Company) -> None:
    for item in case.operation.query:
        kind = kind_of(item.definition["schema"])
        if kind is not None and item.name in case.query:
            case.query[item.name] = company.id_of(kind)
    case.query.pop("cursor", None)


def fed_body(label: str, body: Json, company: Company) -> Json:
    """The body with the company's own identifiers, and with secrets that work."""
    for at, kind in list(ids_in(body)):
        body = replaced(body, at, company.id_of(kind))
    secrets = SECRETS.get(label)
    return {**body, **secrets(company)} if secrets is not None else body


def _log_in(company: Company) -> Json:
    return {"email": company.colleague, "password": PASSWORD}


def _refresh(company: Company) -> Json:
    return {"refresh_token": company.refresh_token}


def _reset(company: Company) -> Json:
    return {"token": company.secret_for(company.email)}


def _accept(company: Company) -> Json:
    return {"token": company.secret_for(company.invite()[1])}


def _own_name(company: Company) -> Json:
    return {"company_name": company.get(f"/tenants/{company.id_of(Kind.TENANT)}")["company_name"]}


SECRETS: dict[str, Callable[[Company], Json]] = {
    "POST /api/v1/auth/login": _log_in,
    REFRESHING: _refresh,
    "POST /api/v1/auth/password/reset": _reset,
    "POST /api/v1/invitations/accept": _accept,
    "POST /api/v1/tenants/{tenant_id}/deletion": _own_name,
}


def prepare(label: str, ids: dict[str, str], company: Company) -> None:
    """Bring about what must be so for the operation to succeed."""
    if label.endswith("/members/{user_id}"):
        company.join_workspace(ids["workspace_id"], ids["user_id"])
    elif label == "POST /api/v1/workspaces/{workspace_id}/members":
        company.leave_workspace(ids["workspace_id"], company.id_of(Kind.USER))
    elif label == "DELETE /api/v1/lists/{list_id}/contacts/{contact_id}":
        company.join_list(ids["list_id"], ids["contact_id"])
    elif "/api/v1/billing/" in label:
        company.subscribe()
