"""A process is alive unless one of its loops hangs."""

import asyncio

import pytest
from libs.common.tests.backbone import Handled, running, send, until, update, wrap

from common import pulse
from common.bus import lanes
from common.bus.errors import Transient
from common.bus.kafka import Cluster
from common.contracts.workspaces import WorkspaceUpdated
from common.db.session import TenantSession
from common.ids import new_id
from common.pulse import Pulse, kept
from common.settings import ServiceSettings
from common.testing.harness import Harness


def test_a_loop_hangs_when_it_has_shown_nothing_for_long() -> None:
    now = 0.0
    one, other = Pulse("one", lambda: now), Pulse("other", lambda: now)
    with kept(other), kept(one):
        now += pulse.PATIENCE_SECONDS
        assert pulse.list_stopped() == []
        pulse.beat()  # of the innermost
        now += 1
        assert pulse.list_stopped() == ["other"]
        other.beat()
        assert pulse.list_stopped() == []
        now += pulse.PATIENCE_SECONDS + 1
        assert pulse.list_stopped() == ["one", "other"]
    assert pulse.list_stopped() == [], "loops that have ended hang no more"
    pulse.beat()  # of nothing


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulse, "PATIENCE_SECONDS", 1.0)
    monkeypatch.setattr(lanes, "_RETRY_SECONDS", (0.05, 0.2))


@pytest.mark.usefixtures("impatient")
async def test_a_handler_that_never_returns_makes_the_process_dead(
    handled: Handled, settings: ServiceSettings, cluster: Cluster, api: type[Harness]
) -> None:
    await cluster.current_id()
    harness: Harness = await api("workspaces")  # type: ignore[call-arg, misc]
    begun = asyncio.Event()

    async def hang(session: TenantSession, event: WorkspaceUpdated) -> None:
        begun.set()
        await asyncio.Event().wait()

    async def dead() -> bool:
        answer = await harness.client.get("/health/live")
        hanging = answer.json()["hanging"]
        assert answer.status_code == (503 if hanging else 200)
        return hanging == [f"consumer {handled.name}"]

    handled.handlers[WorkspaceUpdated] = hang
    async with running(handled.consumer().run()):
        with pytest.raises(TimeoutError):
            await until(dead, within=2)  # it has nothing to do
        await send(settings, wrap(update(new_id(), new_id(), 1)))
        await begun.wait()
        await until(dead)
    assert not await dead()


@pytest.mark.usefixtures("impatient")
async def test_a_handler_that_is_tried_again_and_again_is_alive(
    handled: Handled, settings: ServiceSettings, cluster: Cluster
) -> None:
    await cluster.current_id()
    tries = 0

    async def refuse(session: TenantSession, event: WorkspaceUpdated) -> None:
        nonlocal tries
        tries += 1
        raise Transient

    async def dead() -> bool:
        return bool(pulse.list_stopped())

    handled.handlers[WorkspaceUpdated] = refuse
    async with running(handled.consumer().run()):
        await send(settings, wrap(update(new_id(), new_id(), 1)))
        with pytest.raises(TimeoutError):
            await until(dead, within=3)
    assert tries > 5
