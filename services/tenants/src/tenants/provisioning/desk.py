"""The way of one sign-up request: begin, wait without a connection, have tokens issued.

Each step is a short transaction of its own; whoever repeats the request with the same key goes the same
way again, so it does not matter where the first one stopped.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from common import clock
from common.context import RequestInfo, SystemContext
from common.contracts.envelope import Actor
from common.db.session import Database
from common.ids import PLATFORM_TENANT, Kind, to_text
from tenants.provisioning import queries, service
from tenants.provisioning.gateway import AuthAway, AuthService, OwnerLogsIn, Tokens
from tenants.provisioning.rules import keyed_hash, may_reissue
from tenants.provisioning.schemas import TenantCreate
from tenants.provisioning.service import Allocation

PATIENCE_SECONDS = 5.0
_FIRST_LOOK_SECONDS = 0.06
_POLL_SECONDS = (0.02, 0.25)
_POLL_SHARE = 0.15
"""Pause between two looks, as a part of the time waited: what is slow is not made slower by asking."""
_POLLS_PER_SECOND = 150
"""Of all waiting requests together."""
_AUTH_SECONDS = 2.0
_AUTH_RETRY_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Outcome:
    """`ready` is false while the tenant cannot be used; `tokens` None when there are none any more."""

    allocation: Allocation
    replayed: bool
    ready: bool
    tokens: Tokens | None = None


@dataclass(slots=True)
class WaitingRoom:
    """The requests of this process that wait for their tenant to be ready."""

    count: int = 0

    def pause(self, wanted: float) -> float:
        """Seconds until the next look, which grow with the number of those who wait."""
        return max(wanted, self.count / _POLLS_PER_SECOND)


class Desk:
    """Serves one request within `PATIENCE_SECONDS`."""

    def __init__(
        self, database: Database, auth: AuthService, room: WaitingRoom, secret: str, request: RequestInfo
    ) -> None:
        self._database = database
        self._auth = auth
        self._room = room
        self._secret = secret
        self._request = request
        self._clock: Callable[[], float] = asyncio.get_running_loop().time
        self._began = self._clock()
        self._deadline = self._began + PATIENCE_SECONDS

    async def sign_up(self, body: TenantCreate, key: str | None) -> Outcome:
        """Make the tenant, or find the one that the key made."""
        allocation, replayed = await self._allocate(body, key)
        await self._begin(allocation, body)
        if not replayed:
            await asyncio.sleep(_FIRST_LOOK_SECONDS)
        ready_at = await self._wait_until_ready(allocation.tenant_id)
        if ready_at is None:
            return Outcome(allocation, replayed, ready=False)
        if replayed and not may_reissue(ready_at, clock.now()):
            return Outcome(allocation, replayed, ready=True)
        try:
            tokens = await self._issue_tokens(allocation)
        except OwnerLogsIn:
            return Outcome(allocation, replayed, ready=True)
        return Outcome(allocation, replayed, ready=tokens is not None, tokens=tokens)

    async def _allocate(self, body: TenantCreate, key: str | None) -> tuple[Allocation, bool]:
        if key is None:
            return service.allocate(), False
        key_hash = keyed_hash(self._secret, "sign-up key", key)
        request_hash = keyed_hash(self._secret, "sign-up", body.model_dump_json())
        async with self._database.tenant(SystemContext(PLATFORM_TENANT, "public", "tenants")) as session:
            claimed = await service.claim_key(session, key_hash, request_hash)
            await session.commit()
        return claimed

    async def _begin(self, allocation: Allocation, body: TenantCreate) -> None:
        owner = Actor(type="user", id=to_text(Kind.USER, allocation.owner_user_id))
        context = SystemContext(
            allocation.tenant_id, "provisioning", "tenants", request=self._request, on_behalf_of=owner
        )
        async with self._database.tenant(context) as session:
            await service.begin(session, allocation, body)
            await session.commit()

    async def _wait_until_ready(self, tenant_id: UUID) -> datetime | None:
        """When the tenant became usable; None when that takes too long. Holds no connection meanwhile."""
        self._room.count += 1
        try:
            return await self._poll(SystemContext(tenant_id, "public", "tenants"))
        finally:
            self._room.count -= 1

    async def _poll(self, context: SystemContext) -> datetime | None:
        shortest, longest = _POLL_SECONDS
        while True:
            async with self._database.tenant(context) as session:
                ready_at = await queries.find_ready_at(session)
            waited = self._clock() - self._began
            pause = self._room.pause(min(max(waited * _POLL_SHARE, shortest), longest))
            if ready_at is not None or self._clock() + pause > self._deadline:
                return ready_at
            await asyncio.sleep(pause)

    async def _issue_tokens(self, allocation: Allocation) -> Tokens | None:
        """Tokens of the owner, or None when auth does not answer in time."""
        while (left := self._deadline - self._clock()) > 0:
            try:
                return await self._auth.issue_tokens(
                    allocation.tenant_id,
                    allocation.owner_user_id,
                    self._request,
                    min(left, _AUTH_SECONDS),
                )
            except AuthAway:
                await asyncio.sleep(_AUTH_RETRY_SECONDS)
        return None
