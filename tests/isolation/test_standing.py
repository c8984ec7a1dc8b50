"""Every route asks who the caller is now: no session that ended, no role that was not given opens it."""

from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from common.contracts.auth import (
    FirstMembership,
    SessionEnded,
    TenantRoleName,
    UserRegistered,
    WorkspaceRoleName,
)
from common.ids import Kind, new_id, parse, to_text
from common.testing.harness import Harness
from tests.isolation.calls import Calls, bytes_of, nobodys
from tests.isolation.routes import ROUTES, Route
from tests.isolation.targets import Party

MEMBERS_MAY = {
    "GET /auth/me": "their own account",
    "POST /auth/logout": "their own session",
    "POST /auth/logout-all": "their own sessions",
    "GET /auth/sessions": "their own sessions: the list is empty here",
    "GET /workspaces": "the workspaces they are in: none",
    "GET /campaigns": "those of the workspaces they are in: none",
    "GET /contacts": "those of the workspaces they are in: none",
    "GET /lists": "those of the workspaces they are in: none",
    "GET /templates": "those of the workspaces they are in: none",
    "GET /domains": "those of the workspaces they are in: none",
    "GET /tenants/{tenant_id}": "the name of the company they are in",
    "GET /tenants/{tenant_id}/features": "what the product shows them",
}
"""Routes that serve a member of the tenant who is in none of its workspaces."""

LISTS = [route for route in ROUTES if "cursor" in route.query and not route.path_ids]

VIEWERS_MAY = {route for route in MEMBERS_MAY if not route.startswith("GET ")}
"""Changes that the viewer of a workspace can make."""


async def join(
    calls: Calls, route: Route, role: TenantRoleName, workspace: WorkspaceRoleName | None = None
) -> tuple[Party, Party]:
    """The owner of a tenant that the service knows, and a further user of it."""
    owner, _ = await calls.pair(route.service)
    harness: Harness = calls.target.harness(route.service)  # type: ignore[attr-defined]
    tenant = calls.target.tenant(owner)  # type: ignore[attr-defined]
    known = await calls.target.colleague(owner) if route.service == "auth" else None
    user_id = parse(Kind.USER, known) if known else new_id()
    first = FirstMembership(workspace_id=tenant.workspace_id, role=workspace) if workspace else None
    registered = UserRegistered(
        tenant_id=tenant.tenant_id,
        user_id=user_id,
        version=1,
        email=f"{user_id.hex}@example.com",
        name="Ulla User",
        role=role,
        memberships=(first,) if first else (),
    )
    await harness.handle(tenant.tenant_id, registered)
    session_id = new_id()
    token = harness.issuer.token(tenant.tenant_id, user_id, session_id)
    session = to_text(Kind.SESSION, session_id)
    return owner, Party(owner.tenant_id, to_text(Kind.USER, user_id), owner.workspace_id, session, token)


def rows_of(answer: httpx.Response) -> Any:
    """What a page holds; for other answers None."""
    document = answer.json() if answer.content else None
    return document.get("data") if isinstance(document, dict) else None


async def end_session(calls: Calls, route: Route, user: Party) -> None:
    ended = SessionEnded(
        tenant_id=parse(Kind.TENANT, user.tenant_id),
        session_id=parse(Kind.SESSION, user.session_id),
        version=2,
        user_id=parse(Kind.USER, user.user_id),
        at=datetime.now(tz=UTC),
    )
    await calls.target.harness(route.service).handle(ended.tenant_id, ended)  # type: ignore[attr-defined]


@pytest.mark.parametrize("route", ROUTES, ids=str)
async def test_a_session_that_ended_opens_nothing(in_process: Calls, route: Route) -> None:
    calls = in_process
    owner, user = await join(calls, route, "owner")
    ids = nobodys(route)
    if "tenant_id" in ids:
        ids["tenant_id"] = owner.tenant_id
    assert (await calls.ask(route, user, ids)).status_code != 401, "the positive control"
    await end_session(calls, route, user)
    answer = await calls.ask(route, None, ids, headers=user.headers)
    assert answer.status_code == 401, answer.text
    assert bytes_of(answer) == bytes_of(await calls.ask(route, None, ids))


@pytest.mark.parametrize("route", LISTS, ids=str)
async def test_a_request_that_is_wrong_is_no_way_around_a_session_that_ended(
    in_process: Calls, route: Route
) -> None:
    """What is wrong with it needs no look into the database; whether the caller may be told does."""
    calls = in_process
    _, user = await join(calls, route, "owner")
    client = calls.target.harness(route.service).client  # type: ignore[attr-defined]
    wrong = {"headers": user.headers, "params": {"cursor": "nonsense"}}
    assert (await client.get(route.path, headers=user.headers)).status_code == 200
    assert (await client.get(route.path, **wrong)).status_code == 422, "the positive control"
    await end_session(calls, route, user)
    assert (await client.get(route.path, **wrong)).status_code == 401


@pytest.mark.parametrize("route", ROUTES, ids=str)
async def test_a_member_without_workspaces_is_served_by_reviewed_routes_only(
    in_process: Calls, route: Route
) -> None:
    """`test_owner_succeeds` is the positive control: the same requests work for the owner."""
    calls = in_process
    owner, member = await join(calls, route, "member")
    ids = await calls.ids_of(route, owner)
    body = await calls.body_of(route, owner)
    answer = await calls.ask(route, None, ids, headers=member.headers, body=body)
    if str(route) in MEMBERS_MAY:
        assert answer.is_success, answer.text
        assert not rows_of(answer)
    else:
        assert answer.status_code in (403, 404), answer.text


@pytest.mark.parametrize("route", [route for route in ROUTES if route.method != "GET"], ids=str)
async def test_a_viewer_of_a_workspace_changes_nothing_in_it(in_process: Calls, route: Route) -> None:
    calls = in_process
    owner, viewer = await join(calls, route, "member", "viewer")
    ids = await calls.ids_of(route, owner)
    if "workspace_id" in ids:
        ids["workspace_id"] = owner.workspace_id
    body = await calls.body_of(route, owner)
    if body is not None and "workspace_id" in body:
        body["workspace_id"] = owner.workspace_id
    answer = await calls.ask(route, None, ids, headers=viewer.headers, body=body)
    if str(route) in VIEWERS_MAY:
        assert answer.is_success, answer.text
    else:
        assert answer.status_code in (403, 404), answer.text
