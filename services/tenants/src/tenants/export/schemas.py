"""Answers."""

from typing import Literal

from common.ids import JobId
from common.schema import Answer


class Progress(Answer):
    """In parts: each service writes one."""

    done: int
    total: int
    errors: int = 0


class ExportJob(Answer):
    """`result_url` is there while the archive is, for 24 hours; whoever has it can fetch the archive."""

    job_id: JobId
    status: Literal["queued", "running", "done", "failed"]
    progress: Progress
    result_url: str | None = None
    error: str | None = None
