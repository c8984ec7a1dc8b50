"""Export of a tenant: asked for, put together from the services' parts, fetched with a link for a day."""

import io
import json
import threading
import zipfile
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from services.tenants.tests.company import Company, found
from services.tenants.tests.world import Office

from common import clock
from common.contracts.tenants import ExportedRows, TenantExportRequested, TenantPartExported
from common.db.session import TenantSession
from common.exporting import Exporter, part_path
from common.files import Files, folder_of
from common.ids import Kind, parse, to_text
from common.testing.harness import TEST_LINK_SECRET, Harness, bearer
from tenants.__main__ import SERVICE
from tenants.export.rules import PARTS, read_link, sign_link
from tenants.export.worker import Archivist


class Owner:
    """The owner of a company, at an export of it."""

    def __init__(self, service: Harness, office: Office, company: Company, files: Files) -> None:
        self.service, self.office, self.company, self.files = service, office, company, files
        self.tenant_id = company.tenant.tenant_id

    async def request(self, token: str | None = None) -> Any:
        headers = bearer(token or self.company.tenant.token)
        return await self.service.client.post(f"{self.company.url}/export", headers=headers)

    async def begin(self) -> UUID:
        answer = await self.request()
        assert answer.status_code == 202, answer.text
        job = str(answer.json()["job_id"])
        assert answer.headers["Location"] == f"{self.company.url}/exports/{job}"
        return parse(Kind.JOB, job)

    async def job(self, job_id: UUID) -> dict[str, Any]:
        answer = await self.company.get(f"/exports/{to_text(Kind.JOB, job_id)}")
        assert answer.status_code == 200, answer.text
        shown: dict[str, Any] = answer.json()
        return shown

    async def write(self, job_id: UUID, service: str) -> None:
        """Another service's part: one resource with one row that names it."""
        part = io.BytesIO()
        with zipfile.ZipFile(part, "w") as archive:
            archive.writestr(f"{service}/things.jsonl", json.dumps({"of": service}) + "\n")
        part.seek(0)
        await self.files.write(part_path(self.tenant_id, job_id, service), part)
        event = TenantPartExported(
            tenant_id=self.tenant_id,
            job_id=job_id,
            version=1,
            service=service,
            resources=(ExportedRows(resource="things", rows=1),),
        )
        await self.office.hear(self.tenant_id, event)

    async def fetch(self, url: str) -> Any:
        return await self.service.client.get(url)


@pytest.fixture
def files(service: Harness) -> Files:
    return Files(service.kernel.settings.files_url)


@pytest.fixture
async def owner(service: Harness, office: Office, files: Files) -> Owner:
    return Owner(service, office, await found(service, "starter"), files)


@pytest.fixture
async def archivist(service: Harness, files: Files) -> AsyncIterator[Archivist]:
    made = Archivist(service.kernel.database, files)
    yield made
    await made.rounds.finish()


async def finished(owner: Owner, archivist: Archivist) -> dict[str, Any]:
    """An export that is done, as its owner sees it."""
    job_id = await owner.begin()
    for name in sorted(PARTS):
        await owner.write(job_id, name)
    await archivist.work_on(owner.tenant_id)
    return await owner.job(job_id)


async def due_exports(owner: Owner, office: Office) -> int:
    statement = "SELECT count(*) FROM tenants.exports WHERE tenant_id = $1 AND next_step_at < 'infinity'"
    count: int = (await office.fetch(statement, owner.tenant_id))[0][0]
    return count


async def test_an_export_becomes_one_archive_of_all_parts(
    owner: Owner, office: Office, archivist: Archivist
) -> None:
    job_id = await owner.begin()
    assert await owner.begin() == job_id, "one at a time"
    assert len(await office.emitted(owner.tenant_id, "TenantExportRequested")) == 1
    assert (await owner.job(job_id))["status"] == "queued"
    *most, last = sorted(PARTS)
    for name in (*most, most[0]):
        await owner.write(job_id, name)
        await archivist.work_on(owner.tenant_id)
    shown = await owner.job(job_id)
    assert (shown["status"], shown["progress"], shown["result_url"]) == (
        "running",
        {"done": 4, "total": 5, "errors": 0},
        None,
    )
    await owner.write(job_id, last)
    await archivist.rounds.step()
    await archivist.rounds.finish()
    shown = await owner.job(job_id)
    assert shown["status"] == "done"
    answer = await owner.fetch(shown["result_url"])
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/zip")
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert sorted(archive.namelist()) == [f"{name}/things.jsonl" for name in sorted(PARTS)]
        assert json.loads(archive.read("auth/things.jsonl")) == {"of": "auth"}
    begun, done = await office.emitted(owner.tenant_id, "TenantExportRequested", "TenantExportFinished")
    assert 1 == begun["version"] < done["version"]
    assert await owner.begin() != job_id, "another one may follow"


async def test_a_killed_archivist_is_followed_by_one_that_finishes(
    owner: Owner, office: Office, archivist: Archivist, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = await owner.begin()
    for name in sorted(PARTS):
        await owner.write(job_id, name)
    commit, commits = TenantSession.commit, iter(range(100))

    async def killed_after_the_claim(session: TenantSession) -> None:
        if next(commits) == 1:
            raise ConnectionResetError
        await commit(session)

    monkeypatch.setattr(TenantSession, "commit", killed_after_the_claim)
    with pytest.raises(ConnectionResetError):
        await archivist.work_on(owner.tenant_id)
    monkeypatch.undo()
    assert (await owner.job(job_id))["status"] == "running"
    await archivist.work_on(owner.tenant_id)
    assert (await owner.job(job_id))["status"] == "running", "the claim is still somebody's"
    due = "UPDATE tenants.exports SET next_step_at = now() WHERE tenant_id = $1"
    await office.fetch(due, owner.tenant_id)
    await archivist.work_on(owner.tenant_id)
    assert (await owner.job(job_id))["status"] == "done"
    assert len(await office.emitted(owner.tenant_id, "TenantExportFinished")) == 1


async def test_a_link_is_good_for_a_day_for_this_archive_only(
    owner: Owner, service: Harness, office: Office, files: Files, archivist: Archivist
) -> None:
    other = Owner(service, office, await found(service, "starter"), files)
    shown = await finished(owner, archivist)
    url, job_id = shown["result_url"], parse(Kind.JOB, shown["job_id"])
    base = url.rpartition("/")[0]
    now = clock.now()
    wrong = {
        "another tenant": sign_link(TEST_LINK_SECRET, other.tenant_id, job_id, now + timedelta(hours=1)),
        "over": sign_link(TEST_LINK_SECRET, owner.tenant_id, job_id, now - timedelta(seconds=2)),
        "another key": sign_link("00" * 32, owner.tenant_id, job_id, now + timedelta(hours=1)),
        "cut": url.rpartition("/")[2][:-3],
        "changed": "A" * 20 + url.rpartition("/")[2][20:],
        "nothing": "link",
    }
    for name, signed in wrong.items():
        answer = await owner.fetch(f"{base}/{signed}")
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), name
    assert read_link(TEST_LINK_SECRET, url.rpartition("/")[2], now + timedelta(hours=23)) is not None
    assert read_link(TEST_LINK_SECRET, url.rpartition("/")[2], now + timedelta(hours=25)) is None
    seen = await service.client.get(
        f"{other.company.url}/exports/{shown['job_id']}", headers=other.company.tenant.headers
    )
    assert (seen.status_code, seen.json()["code"]) == (404, "not_found")


async def test_an_archive_that_is_over_is_erased(
    owner: Owner, office: Office, files: Files, archivist: Archivist
) -> None:
    shown = await finished(owner, archivist)
    over = "UPDATE tenants.exports SET next_step_at = now(), expires_at = now() WHERE tenant_id = $1"
    await office.fetch(over, owner.tenant_id)
    await archivist.work_on(owner.tenant_id)
    assert await files.list_below(folder_of(owner.tenant_id)) == []
    assert (await owner.fetch(shown["result_url"])).status_code == 404
    assert (await owner.job(parse(Kind.JOB, shown["job_id"])))["result_url"] is None
    assert await due_exports(owner, office) == 0, "nothing is left to do"


async def test_an_export_fails_when_a_part_does_not_come(
    owner: Owner, office: Office, files: Files, archivist: Archivist
) -> None:
    job_id = await owner.begin()
    missing, *others = sorted(PARTS)
    for name in others:
        await owner.write(job_id, name)
    await be_due(owner, office)
    await archivist.work_on(owner.tenant_id)
    shown = await owner.job(job_id)
    assert (shown["status"], shown["error"], shown["progress"]["errors"]) == ("failed", "parts_missing", 1)
    (told,) = await office.emitted(owner.tenant_id, "TenantExportFailed")
    assert told["missing"] == [missing]
    assert await files.list_below(folder_of(owner.tenant_id)) == []
    await owner.write(job_id, missing)
    assert (await owner.job(job_id))["status"] == "failed", "too late"
    await archivist.rounds.step()
    await archivist.rounds.finish()
    assert await files.list_below(folder_of(owner.tenant_id)) == [], "nobody would erase it"
    assert await due_exports(owner, office) == 0


async def be_due(owner: Owner, office: Office) -> None:
    await office.fetch(
        "UPDATE tenants.exports SET next_step_at = now() WHERE tenant_id = $1", owner.tenant_id
    )


async def test_a_failed_export_is_swept_once_more(
    owner: Owner, office: Office, files: Files, archivist: Archivist
) -> None:
    """A part that was written meanwhile, by a process that died before it said so, is nobody's else."""
    job_id = await owner.begin()
    await be_due(owner, office)
    await archivist.work_on(owner.tenant_id)
    await files.write(part_path(owner.tenant_id, job_id, "auth"), io.BytesIO(b"late"))
    assert await due_exports(owner, office) == 1
    await be_due(owner, office)
    await archivist.work_on(owner.tenant_id)
    assert await files.list_below(folder_of(owner.tenant_id)) == []
    assert await due_exports(owner, office) == 0


@pytest.mark.parametrize(("contents", "lost"), [(None, sorted(PARTS)), (b"no archive", ["campaigns"])])
async def test_an_export_whose_parts_are_gone_or_broken_fails(
    owner: Owner,
    office: Office,
    files: Files,
    archivist: Archivist,
    contents: bytes | None,
    lost: list[str],
) -> None:
    job_id = await owner.begin()
    for name in sorted(PARTS):
        await owner.write(job_id, name)
    if contents is None:
        await files.erase_below(folder_of(owner.tenant_id))
    else:
        await files.write(part_path(owner.tenant_id, job_id, "campaigns"), io.BytesIO(contents))
    await archivist.work_on(owner.tenant_id)
    shown = await owner.job(job_id)
    assert (shown["status"], shown["error"]) == ("failed", "parts_missing")
    (told,) = await office.emitted(owner.tenant_id, "TenantExportFailed")
    assert told["missing"] == lost
    assert await owner.begin() != job_id, "another one may follow"


async def test_packing_leaves_the_event_loop_alone(
    owner: Owner, archivist: Archivist, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: set[int] = set()
    opened = zipfile.ZipFile.open

    def noted(archive: zipfile.ZipFile, *args: Any, **rest: Any) -> Any:
        threads.add(threading.get_ident())
        return opened(archive, *args, **rest)

    job_id = await owner.begin()
    for name in sorted(PARTS):
        await owner.write(job_id, name)
    monkeypatch.setattr(zipfile.ZipFile, "open", noted)
    await archivist.work_on(owner.tenant_id)
    assert threads
    assert threading.get_ident() not in threads


async def test_owners_only(owner: Owner, service: Harness) -> None:
    _, admin = await service.make_user(owner.company.tenant, "admin")
    answer = await owner.request(admin)
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")


async def test_the_services_own_part_is_written_once(owner: Owner, service: Harness, office: Office) -> None:
    job_id = await owner.begin()
    (told,) = await office.emitted(owner.tenant_id, "TenantExportRequested")
    told.pop("type")
    for _ in range(2):
        await office.hear(owner.tenant_id, TenantExportRequested.model_validate(told))
    exporter = Exporter(service.kernel, SERVICE.exporting)
    for _ in range(2):
        await exporter.work_on(owner.tenant_id)
    (part,) = await office.emitted(owner.tenant_id, "TenantPartExported")
    assert {one["resource"]: one["rows"] for one in part["resources"]}["tenants"] == 1
    assert await owner.files.exists(part_path(owner.tenant_id, job_id, "tenants"))
