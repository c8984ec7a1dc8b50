"""What follows a deletion: reports, reminders, and the certificate when nothing is left."""

import json
from datetime import UTC, datetime, timedelta
from io import BytesIO

from services.tenants.tests.leaving import NAME, Owner, erased, report
from services.tenants.tests.world import Office

from common.files import Files, folder_of
from common.ids import Kind, to_text
from common.testing.harness import Harness
from tenants.deletion.rules import SERVICES
from tenants.deletion.worker import Registrar


async def test_the_certificate_waits_for_every_service_and_for_their_events_to_run_out(
    owner: Owner,
    service: Harness,
    office: Office,
    registrar: Registrar,
) -> None:
    await owner.ask("POST", json=NAME)
    await owner.be_due()
    await registrar.work_on(owner.tenant_id)
    await owner.hear("TenantDeleted")
    first, *others = sorted(SERVICES)
    for name in others:
        await report(owner, service, erased(owner, name))
        await report(owner, service, erased(owner, name, rows=99))  # told again: the first report counts
    row = await owner.row()
    assert row is not None
    assert row["erased_at"] is None
    await report(owner, service, erased(owner, first))
    row = await owner.row()
    assert row is not None
    assert row["erased_at"] is not None
    await owner.be_due()
    await registrar.work_on(owner.tenant_id)
    assert await office.emitted(owner.tenant_id, "TenantDeletionCertified") == []
    waits = (await owner.row() or {})["next_step_at"] - datetime.now(tz=UTC)
    assert timedelta(days=9) < waits < timedelta(days=9, hours=3), "until their events have run out"

    await owner.change(
        "UPDATE tenants.deletions SET erased_at = now() - interval '10 days' WHERE tenant_id = $1"
    )
    for _ in range(2):
        await owner.be_due()
        await registrar.work_on(owner.tenant_id)
    (told,) = await office.emitted(owner.tenant_id, "TenantDeletionCertified")
    assert (told["services"], told["rows"]) == (sorted(SERVICES), 3 * len(SERVICES))
    row = await owner.row()
    assert row is not None
    certificate = json.loads(row["certificate"])
    assert certificate["events_gone_at"] <= certificate["certified_at"]
    assert certificate["tenant_id"] == to_text(Kind.TENANT, owner.tenant_id)
    assert certificate["services"]["auth"]["erased"] == {"auth.things": 3}
    assert certificate["services"]["auth"]["kept"] == {"tenancy.tenants": "the id"}


async def test_who_does_not_report_is_asked_again(
    owner: Owner, service: Harness, office: Office, registrar: Registrar
) -> None:
    await owner.ask("POST", json=NAME)
    await owner.be_due()
    await registrar.work_on(owner.tenant_id)
    await owner.hear("TenantDeleted")
    await registrar.work_on(owner.tenant_id)
    assert await office.emitted(owner.tenant_id, "TenantErasureAwaited") == [], "they may take an hour"
    for name in SERVICES - {"audit", "campaigns"}:
        await report(owner, service, erased(owner, name))
    for _ in range(2):
        await owner.be_due()
        await registrar.work_on(owner.tenant_id)
        await registrar.work_on(owner.tenant_id)
    (first, second) = await office.emitted(owner.tenant_id, "TenantErasureAwaited")
    assert first["services"] == second["services"] == ["audit", "campaigns"]
    row = await owner.row() or {}
    assert row["problem"] == "reports_missing"
    assert row["next_step_at"] - datetime.now(tz=UTC) > timedelta(hours=3), "less and less often"
    for name in ("audit", "campaigns"):
        await report(owner, service, erased(owner, name))
    row = await owner.row() or {}
    assert (row["problem"], row["erased_at"] is None) == (None, False)


async def test_a_file_that_was_written_meanwhile_is_gone_before_the_certificate(
    owner: Owner, service: Harness, registrar: Registrar, files: Files
) -> None:
    await owner.ask("POST", json=NAME)
    await owner.be_due()
    await registrar.work_on(owner.tenant_id)
    for name in SERVICES:
        await report(owner, service, erased(owner, name))
    row = await owner.row() or {}
    assert row["next_step_at"] - datetime.now(tz=UTC) < timedelta(minutes=11)
    folder = folder_of(owner.tenant_id)
    await files.write(f"{folder}/exports/job_1/auth.zip", BytesIO(b"late"))
    await owner.be_due()
    await registrar.work_on(owner.tenant_id)
    assert await files.list_below(folder) == []


async def test_reports_about_a_tenant_that_stays_change_nothing(owner: Owner, service: Harness) -> None:
    await owner.ask("POST", json=NAME)
    await report(owner, service, erased(owner, "auth"))
    reports = "SELECT * FROM tenants.erasure_reports WHERE tenant_id = $1"
    assert await owner.office.fetch(reports, owner.tenant_id) == []
