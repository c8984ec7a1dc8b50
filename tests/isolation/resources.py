"""How a party comes by a resource of its own, for each kind that a path or a body can name."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from common import clock
from common.ids import Kind, to_text
from tests.isolation.routes import PREFIX, Route
from tests.isolation.targets import Party, Target

Maker = Callable[[Target, str, Party], Awaitable[str]]
Preparation = Callable[[Target, Party, dict[str, str]], Awaitable[None]]


def never(kind: Kind) -> str:
    """An identifier that never was anybody's, an hour old."""
    millis = int((clock.now() - timedelta(hours=1)).timestamp() * 1000)
    value = (millis << 80) | (uuid4().int & ((1 << 80) - 1))
    value = (value & ~(0xF << 76)) | (7 << 76)
    value = (value & ~(0x3 << 62)) | (0x2 << 62)
    return to_text(kind, UUID(int=value))


async def _make(target: Target, service: str, party: Party, path: str, field: str, **body: Any) -> str:
    answer = await target.client(service).post(f"{PREFIX}{path}", headers=party.headers, json=body)
    assert answer.status_code == 201, answer.text
    return str(answer.json()[field])


async def _workspace(target: Target, service: str, party: Party) -> str:
    if service != "workspaces":
        return party.workspace_id
    made = await _make(target, service, party, "/workspaces", "workspace_id", name=uuid4().hex)
    await target.settle(service)
    return made


async def _campaign(target: Target, service: str, party: Party) -> str:
    body = {"workspace_id": party.workspace_id, "name": "Spring"}
    return await _make(target, "campaigns", party, "/campaigns", "campaign_id", **body)


async def _contact(target: Target, service: str, party: Party) -> str:
    body = {"workspace_id": party.workspace_id, "email": f"{uuid4().hex}@example.com"}
    return await _make(target, "campaigns", party, "/contacts", "contact_id", **body)


async def _audit_event(target: Target, service: str, party: Party) -> str:
    return await target.audit_event(party)


async def _own(target: Target, service: str, party: Party) -> str:
    return party.user_id


async def _session(target: Target, service: str, party: Party) -> str:
    return party.session_id


async def _tenant(target: Target, service: str, party: Party) -> str:
    return party.tenant_id


MAKERS: dict[Kind, Maker] = {
    Kind.TENANT: _tenant,
    Kind.USER: _own,
    Kind.SESSION: _session,
    Kind.WORKSPACE: _workspace,
    Kind.CAMPAIGN: _campaign,
    Kind.CONTACT: _contact,
    Kind.AUDIT_EVENT: _audit_event,
}


async def _leave_workspace(target: Target, party: Party, ids: dict[str, str]) -> None:
    path = f"{PREFIX}/workspaces/{ids['workspace_id']}/members/{party.user_id}"
    answer = await target.client("workspaces").delete(path, headers=party.headers)
    assert answer.status_code == 204, answer.text


PREPARATIONS: dict[str, Preparation] = {
    "POST /workspaces/{workspace_id}/members": _leave_workspace,
}
"""What must happen before a route can succeed for its owner."""

SPENDING = {"POST /auth/logout", "POST /auth/logout-all", "DELETE /auth/sessions/{session_id}"}
"""Routes after whose success the caller's token is worth nothing."""


async def prepare(target: Target, route: Route, party: Party, ids: dict[str, str]) -> None:
    """Make the route succeed for its owner."""
    preparation = PREPARATIONS.get(str(route))
    if preparation is not None:
        await preparation(target, party, ids)
