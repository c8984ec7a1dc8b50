"""Records of reads: nothing noted is dropped when writing fails or is cut off."""

import asyncio
from datetime import timedelta
from uuid import UUID

import pytest

from common import clock
from common.context import OperatorContext, RequestInfo, UserContext
from common.contracts.audit import AccessGap, AccessRecorded
from common.ids import new_id
from common.web import access
from common.web.access import AccessLog

REFUSED = "refused"
"""A user agent that no desk takes."""


class Desk:
    """Stands where the outbox is: keeps what is written, and fails or hangs as told."""

    def __init__(self) -> None:
        self.written: list[AccessRecorded | AccessGap] = []
        self.failure: BaseException | None = None

    async def tell(self, event: AccessRecorded | AccessGap) -> None:
        await asyncio.sleep(0)
        if self.failure is not None:
            raise self.failure
        if isinstance(event, AccessRecorded) and REFUSED in (one.request.user_agent for one in event.records):
            raise ValueError("this cannot be written")
        self.written.append(event)

    def reads(self) -> int:
        return sum(len(event.records) for event in self.written if isinstance(event, AccessRecorded))


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
def reads(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> AccessLog:
    monkeypatch.setattr(access, "Teller", lambda *_: desk)
    return AccessLog("test", None)  # type: ignore[arg-type]  # the desk stands before the database


def note(reads: AccessLog, count: int, tenant: UUID | None = None, user_agent: str = "test") -> None:
    tenant = tenant or new_id()
    request = RequestInfo("request-1", "GET", "/api/v1/x", "127.0.0.1", user_agent)
    caller = UserContext(tenant, new_id(), new_id(), clock.now(), "a@example.com", request)
    for _ in range(count):
        reads.read(caller, request, 200, ())


async def test_what_the_database_refuses_now_is_written_later(reads: AccessLog, desk: Desk) -> None:
    note(reads, 450)
    desk.failure = ConnectionRefusedError()
    await reads.flush()
    desk.failure = None
    note(reads, 1)
    await reads.flush()
    assert desk.reads() == 451


async def test_a_read_that_cannot_be_written_holds_up_no_other(
    reads: AccessLog, desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    """Of the same tenant or of others; it is counted in its tenant's gap, so that the loss is known."""
    poisoned = new_id()
    note(reads, 20, poisoned)
    note(reads, 1, poisoned, REFUSED)
    note(reads, 300, poisoned)
    note(reads, 7)
    assert await reads.flush()
    assert desk.reads() == 327
    (gap,) = [event for event in desk.written if isinstance(event, AccessGap)]
    assert (gap.tenant_id, gap.count) == (poisoned, 1)
    assert "read not recorded" in caplog.text
    assert await reads.flush()
    assert desk.reads() == 327


async def test_where_no_read_can_be_written_none_is_given_up(reads: AccessLog, desk: Desk) -> None:
    """It is not their fault, then, and the process must not go on as if they were recorded."""
    note(reads, 450)
    desk.failure = ValueError("nothing can be written")
    with pytest.raises(ValueError, match="nothing"):
        await reads.flush()
    desk.failure = None
    await reads.flush()
    gaps = sum(event.count for event in desk.written if isinstance(event, AccessGap))
    assert desk.reads() + gaps == 450
    assert gaps < 3


async def test_after_a_read_that_cannot_be_written_others_go_together_again(
    reads: AccessLog, desk: Desk
) -> None:
    tenant = new_id()
    note(reads, 1, tenant, REFUSED)
    note(reads, 2000, tenant)
    await reads.flush()
    assert desk.reads() == 2000
    assert len(desk.written) < 40


async def test_one_tenants_reads_that_cannot_be_written_keep_back_nobody_elses(
    reads: AccessLog, desk: Desk
) -> None:
    note(reads, 3, new_id(), REFUSED)
    note(reads, 5, new_id())
    with pytest.raises(ValueError):  # noqa: PT011 - the desk's
        await reads.flush()
    assert desk.reads() == 5


async def test_what_is_put_back_keeps_its_order(reads: AccessLog, desk: Desk) -> None:
    tenant = new_id()
    for _ in range(3):
        note(reads, 1, tenant)
    desk.failure = ConnectionRefusedError()
    assert not await reads.flush()
    desk.failure = None
    await reads.flush()
    (told,) = [event for event in desk.written if isinstance(event, AccessRecorded)]
    at = [record.at for record in told.records]
    assert at == sorted(at)


async def test_a_flush_cut_off_leaves_the_rest_to_the_last_one(reads: AccessLog, desk: Desk) -> None:
    for _ in range(5):
        note(reads, 1)
    desk.failure = asyncio.CancelledError()
    with pytest.raises(asyncio.CancelledError):
        await reads.flush()
    desk.failure = None
    await reads.flush()
    assert desk.reads() == 5


async def test_what_does_not_fit_is_counted_in_a_gap(
    reads: AccessLog, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access, "_ROOM", 10)
    before = clock.now()
    note(reads, 25)
    await reads.flush()
    gaps = [event for event in desk.written if isinstance(event, AccessGap)]
    assert (desk.reads(), [gap.count for gap in gaps]) == (10, [15])
    assert before <= gaps[0].since <= gaps[0].until <= before + timedelta(minutes=1)
    await reads.flush()
    assert len([event for event in desk.written if isinstance(event, AccessGap)]) == 1


async def test_a_tenant_learns_the_id_of_an_operator_only(reads: AccessLog, desk: Desk) -> None:
    request = RequestInfo("request-1", "GET", "/api/v1/platform/x", "127.0.0.1", "test")
    operator = OperatorContext(new_id(), "operator@example.com", request)
    reads.read(operator, request, 200, (), of=new_id())
    reads.read(operator, request, 200, ())
    await reads.flush()
    told = [event.records[0] for event in desk.written if isinstance(event, AccessRecorded)]
    assert [(one.actor, one.email) for one in told] == [
        (operator.actor, None),
        (operator.actor, "operator@example.com"),
    ]
