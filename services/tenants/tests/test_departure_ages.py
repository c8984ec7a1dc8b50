"""For how long deletions and exports have been unfinished; waits that are meant are no delay."""

from datetime import timedelta

import pytest
from services.tenants.tests.leaving import Owner
from services.tenants.tests.world import Office

from common.ids import new_id
from common.metric_names import DELETIONS_AGE, EXPORTS_AGE
from common.testing.harness import Harness
from common.testing.measuring import value_of
from tenants.lifecycle.watch import look

DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
async def nobody_else(office: Office) -> None:
    """Others' would be measured each time: they have all just begun."""
    later = "UPDATE tenants.deletions SET erase_at = now() + interval '1 day', erased_at = NULL "
    await office.fetch(later + "WHERE certified_at IS NULL")
    await office.fetch("UPDATE tenants.exports SET requested_at = now()")


async def test_a_deletion_is_late_when_its_grace_or_its_events_have_run_out(
    owner: Owner, office: Office, service: Harness
) -> None:
    async def age(began: str, erased: str = "NULL", certified: str = "NULL") -> float:
        await office.fetch("DELETE FROM tenants.deletions WHERE tenant_id = $1", owner.tenant_id)
        await office.fetch(
            "INSERT INTO tenants.deletions (tenant_id, scheduled_at, erase_at, next_step_at, deleted_at, "
            "erased_at, certified_at, certificate) "
            f"SELECT $1, now(), {began}, now(), {began}, {erased}, {certified}, "
            f"CASE WHEN {certified} IS NOT NULL THEN '{{}}'::jsonb END",
            owner.tenant_id,
        )
        await look(service.kernel)
        return value_of(DELETIONS_AGE)

    assert await age("now() + interval '1 day'") == 0, "in its grace"
    assert await age("now() - interval '1 day'") == pytest.approx(DAY.total_seconds(), abs=60)
    assert await age("now() - interval '9 days'", "now() - interval '8 days'") == 0, "its events last"
    assert await age("now() - interval '19 days'", "now() - interval '18 days'") > 8 * DAY.total_seconds()
    long_ago = "now() - interval '19 days'"
    assert await age(long_ago, long_ago, "now()") == 0, "it is certified"


async def test_an_export_is_late_until_it_is_done_or_has_failed(
    owner: Owner, office: Office, service: Harness
) -> None:
    ages: dict[str, float] = {}
    for status in ("queued", "running", "done", "failed"):
        await office.fetch("DELETE FROM tenants.exports WHERE tenant_id = $1", owner.tenant_id)
        await office.fetch(
            "INSERT INTO tenants.exports (tenant_id, job_id, status, requested_at, next_step_at) "
            "VALUES ($1, $2, $3, now() - interval '1 hour', now())",
            *(owner.tenant_id, new_id(), status),
        )
        await look(service.kernel)
        ages[status] = round(value_of(EXPORTS_AGE), -2)
    assert ages == {"queued": 3600, "running": 3600, "done": 0, "failed": 0}
