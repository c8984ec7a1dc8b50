"""How a party comes by resources of its own, and what a route needs before it can succeed.

Most resources are made by POSTing to the collection that their route's path names; the others stand here.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from uuid import UUID, uuid4

from common import clock
from common.ids import Kind, to_text
from tests.isolation.routes import PREFIX
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


async def _tenant(target: Target, service: str, party: Party) -> str:
    return party.tenant_id


async def _owner(target: Target, service: str, party: Party) -> str:
    return party.user_id


async def _session(target: Target, service: str, party: Party) -> str:
    return party.session_id


async def _workspace(target: Target, service: str, party: Party) -> str:
    """The default workspace; a new one where workspaces are at stake themselves."""
    if service != "workspaces":
        return party.workspace_id
    path, body = f"{PREFIX}/workspaces", {"name": uuid4().hex}
    answer = await target.client(service).post(path, headers=party.headers, json=body)
    assert answer.status_code == 201, answer.text
    await target.settle(service)
    return str(answer.json()["workspace_id"])


async def _audit_event(target: Target, service: str, party: Party) -> str:
    return await target.audit_event(party)


async def _export(target: Target, service: str, party: Party) -> str:
    """The one that is being made; a new one when there is none."""
    known = _exports.get(party.tenant_id)
    if known is None:
        path = f"{PREFIX}/tenants/{party.tenant_id}/export"
        answer = await target.client(service).post(path, headers=party.headers)
        assert answer.status_code == 202, answer.text
        known = _exports[party.tenant_id] = str(answer.json()["job_id"])
        await target.finish(service, party, answer.headers["Location"])
    return known


_exports: dict[str, str] = {}
"""The newest export of each tenant: there is one at a time."""

MAKERS: dict[Kind, Maker] = {
    Kind.TENANT: _tenant,
    Kind.USER: _owner,
    Kind.SESSION: _session,
    Kind.WORKSPACE: _workspace,
    Kind.AUDIT_EVENT: _audit_event,
    Kind.JOB: _export,
}


async def _leave_workspace(target: Target, party: Party, ids: dict[str, str]) -> None:
    path = f"{PREFIX}/workspaces/{ids['workspace_id']}/members/{party.user_id}"
    answer = await target.client("workspaces").delete(path, headers=party.headers)
    assert answer.status_code == 204, answer.text


async def _join_list(target: Target, party: Party, ids: dict[str, str]) -> None:
    path, body = f"{PREFIX}/lists/{ids['list_id']}/contacts", {"contact_ids": [ids["contact_id"]]}
    answer = await target.client("campaigns").post(path, headers=party.headers, json=body)
    assert answer.is_success, answer.text


async def _choose_colleague(target: Target, party: Party, ids: dict[str, str]) -> None:
    """The last owner cannot go."""
    ids["user_id"] = await target.colleague(party)


async def _be_subscribed(target: Target, party: Party, ids: dict[str, str]) -> None:
    """Until the sign-up has made the customer."""
    path = f"{PREFIX}/tenants/{party.tenant_id}/provisioning"
    async with asyncio.timeout(30):
        while True:
            answer = await target.client("tenants").get(path, headers=party.headers)
            steps = {step["name"]: step["status"] for step in answer.json()["steps"]}
            if steps["billing"] == "done":
                return
            await asyncio.sleep(0.1)


PREPARATIONS: dict[str, Preparation] = {
    "DELETE /users/{user_id}": _choose_colleague,
    "DELETE /lists/{list_id}/contacts/{contact_id}": _join_list,
    "POST /billing/portal": _be_subscribed,
    "POST /workspaces/{workspace_id}/members": _leave_workspace,
}
"""What must happen before a route can succeed for its owner."""

SPENDING = {
    "POST /auth/logout",
    "POST /auth/logout-all",
    "DELETE /auth/sessions/{session_id}",
    "POST /tenants/{tenant_id}/deletion",
    "POST /tenants/{tenant_id}/export",
}
"""Routes after whose success the caller can do nothing more, hardly anything, or not that again."""


async def _own_name(target: Target, party: Party) -> dict[str, str]:
    answer = await target.client("tenants").get(f"{PREFIX}/tenants/{party.tenant_id}", headers=party.headers)
    assert answer.is_success, answer.text
    return {"company_name": answer.json()["company_name"]}


BODIES: dict[str, Callable[[Target, Party], Awaitable[dict[str, str]]]] = {
    "POST /tenants/{tenant_id}/deletion": _own_name,
}
"""Fields of a body that say what only their owner knows."""
