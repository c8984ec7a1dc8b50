"""Answers."""

from typing import Literal

from common.ids import JobId, TenantId
from common.schema import Answer, Timestamp

ExportStatus = Literal["queued", "running", "done", "failed"]


class ExportState(Answer):
    """An export for operators. `written` and `missing`: services whose part is there, or not (yet);
    `expires_at`: until when its owner can fetch it."""

    tenant_id: TenantId
    job_id: JobId
    status: ExportStatus
    requested_at: Timestamp
    expires_at: Timestamp | None
    written: list[str]
    missing: list[str]
    error: str | None


class Progress(Answer):
    """In parts: each service writes one."""

    done: int
    total: int
    errors: int = 0


class ExportJob(Answer):
    """`result_url` is there while the archive is, for 24 hours; whoever has it can fetch the archive."""

    job_id: JobId
    status: ExportStatus
    progress: Progress
    result_url: str | None = None
    error: str | None = None
