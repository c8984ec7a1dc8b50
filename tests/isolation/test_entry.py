"""The entry of users: what the database itself demands of a proven request before it opens a tenant."""

import hmac
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from common.context import SystemContext
from common.contracts.auth import SessionEnded, SessionsRevoked, UserDeactivated
from common.db.errors import driver_error
from common.db.proofs import Prover
from common.ids import new_id
from tests.isolation.attacker import Attacker
from tests.isolation.installation import World

REFUSED = "42501"
_ENTER = "SELECT split_part(tenancy.enter($1, $2, $3, $4, $5), '|', 1)"


@pytest.fixture
def prover(world: World) -> Prover:
    return Prover(world.database.tenancy_key)


@pytest.fixture
async def facts(world: World) -> tuple[UUID, UUID, UUID, datetime]:
    """Tenant, user, session and time of issue of a good token of the test's own user."""
    user_id, _ = await world.harness.make_user(world.mine)
    return world.mine.tenant_id, user_id, new_id(), datetime.now(tz=UTC)


async def enter(attacker: Attacker, prover: Prover, *facts: Any) -> tuple[str, dict[str, set[UUID]]]:
    """The verdict on honestly proven facts, and what is visible after it."""
    async with attacker.sql.transaction():
        proof = prover.user(*facts, await attacker.backend_pid())
        verdict = await attacker.sql.fetchval(_ENTER, *facts, proof)
        return verdict, await _rows(attacker)


async def _rows(attacker: Attacker) -> dict[str, set[UUID]]:
    rows = await attacker.sql.fetch("SELECT DISTINCT tenant_id FROM tenancy.members")
    return {"members": {row["tenant_id"] for row in rows}} if rows else {}


async def test_a_member_in_good_standing_is_let_in(
    world: World, attacker: Attacker, prover: Prover, facts: tuple[Any, ...]
) -> None:
    """The positive control."""
    assert await enter(attacker, prover, *facts) == ("ok", {"members": {world.mine.tenant_id}})


@pytest.mark.parametrize("changed", ["tenant", "user", "session", "time", "connection", "nothing at all"])
async def test_a_proof_of_other_facts_is_refused(
    world: World, attacker: Attacker, prover: Prover, facts: tuple[Any, ...], changed: str
) -> None:
    tenant, user, session, issued = facts
    pid = await attacker.backend_pid()
    proofs = {
        "tenant": prover.user(world.theirs.tenant_id, user, session, issued, pid),
        "user": prover.user(tenant, world.mine.owner_id, session, issued, pid),
        "session": prover.user(tenant, user, new_id(), issued, pid),
        "time": prover.user(tenant, user, session, issued - timedelta(microseconds=1), pid),
        "connection": prover.user(tenant, user, session, issued, pid + 1),
        "nothing at all": b"",
    }
    assert await attacker.sqlstate(_ENTER, *facts, proofs[changed]) == REFUSED
    assert await attacker.sqlstate(_ENTER, *facts, None) == REFUSED
    proof = prover.user(*facts, pid)
    for place in range(4):
        assert await attacker.sqlstate(_ENTER, *(*facts[:place], None, *facts[place + 1 :]), proof) == REFUSED


async def test_members_of_another_tenant_are_unknown(
    world: World, attacker: Attacker, prover: Prover, facts: tuple[Any, ...]
) -> None:
    _, *rest = facts
    assert await enter(attacker, prover, world.theirs.tenant_id, *rest) == ("unknown", {})
    assert await enter(attacker, prover, new_id(), *rest) == ("unknown", {})


async def test_an_ended_session_is_not_let_in_again(
    world: World, attacker: Attacker, prover: Prover, facts: tuple[Any, ...]
) -> None:
    tenant, user, session, issued = facts
    ended = SessionEnded(
        tenant_id=tenant, session_id=session, version=2, user_id=user, at=datetime.now(tz=UTC)
    )
    await world.harness.handle(tenant, ended)
    assert await enter(attacker, prover, *facts) == ("revoked", {})
    assert (await enter(attacker, prover, tenant, user, new_id(), issued))[0] == "ok", "others go on"


async def test_tokens_from_before_a_revocation_are_not_let_in(
    world: World, attacker: Attacker, prover: Prover, facts: tuple[Any, ...]
) -> None:
    tenant, user, session, issued = facts
    revoked = SessionsRevoked(
        tenant_id=tenant,
        user_id=user,
        version=2,
        before=issued + timedelta(milliseconds=1),
        reason="password_changed",
    )
    await world.harness.handle(tenant, revoked)
    assert await enter(attacker, prover, *facts) == ("revoked", {})
    later = issued + timedelta(milliseconds=1)
    assert (await enter(attacker, prover, tenant, user, session, later))[0] == "ok", "newer ones are"


async def test_deactivated_members_are_not_let_in(
    world: World, attacker: Attacker, prover: Prover, facts: tuple[Any, ...]
) -> None:
    tenant, user, session, issued = facts
    gone = UserDeactivated(tenant_id=tenant, user_id=user, version=2, at=issued)
    await world.harness.handle(tenant, gone)
    tomorrow = issued + timedelta(days=1)
    assert await enter(attacker, prover, tenant, user, session, tomorrow) == ("revoked", {})


async def test_deleted_tenants_are_closed(
    world: World, attacker: Attacker, prover: Prover, superuser: asyncpg.Connection
) -> None:
    gone = await world.harness.make_tenant("Gone Ltd")
    facts = (gone.tenant_id, gone.owner_id, new_id(), datetime.now(tz=UTC))
    assert (await enter(attacker, prover, *facts))[0] == "ok"
    await superuser.execute("UPDATE tenancy.tenants SET status = 'deleted' WHERE tenant_id = $1", facts[0])
    assert await enter(attacker, prover, *facts) == ("revoked", {})


async def test_a_seal_is_worth_something_here_and_now_only(world: World, attacker: Attacker) -> None:
    """It is made of the key, the context, this connection and the moment this transaction began."""
    began = "SELECT timestamptz_send(transaction_timestamp())"
    async with attacker.sql.transaction():
        await attacker.enter(world.mine)
        context, seal = await attacker.settings()
        here, now = (await attacker.backend_pid()).to_bytes(4), await attacker.sql.fetchval(began)
    key = bytes.fromhex(world.database.tenancy_key)
    sealing_key = hmac.digest(key, b"seal", "sha256")
    assert seal == sha256(sealing_key + here + now + context.encode()).hexdigest()


async def test_purposes_are_a_closed_list(world: World) -> None:
    """Even the service itself cannot enter for a reason that nobody reviewed."""
    context = SystemContext(world.mine.tenant_id, "reports", world.service)  # type: ignore[arg-type]
    with pytest.raises(Exception, match="unknown purpose") as caught:
        async with world.harness.kernel.database.tenant(context):
            pass
    refusal = driver_error(caught.value)
    assert refusal is not None
    assert refusal.sqlstate == REFUSED
