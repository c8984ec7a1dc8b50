"""What a service declares of itself; `common.cli` turns it into processes."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import typer
from fastapi import FastAPI

from common.bus.projections import Handler
from common.bus.snapshot import Describe
from common.contracts.envelope import Event
from common.db.session import Database
from common.erasure import Erasing
from common.exporting import Exporting
from common.resealing import Sealed
from common.settings import ServiceSettings
from common.upkeep import Forget
from common.web.kernel import Kernel

Worker = Callable[[Kernel], Awaitable[None]]
"""A loop of the service's own (sends mail, scans for due work); runs until cancelled."""


@dataclass(frozen=True, slots=True)
class Service:
    """One service: its name, settings, application, handlers, workers and migrations."""

    name: str
    settings: type[ServiceSettings]
    create_app: Callable[[Kernel], FastAPI]
    migrations: Path
    handlers: Mapping[type[Event], Handler] = field(default_factory=dict[type[Event], Handler])
    workers: Sequence[Worker] = ()
    consumers: Sequence[Worker] = ()
    """Consumers beyond the one that runs `handlers`."""
    exporting: Exporting = field(default_factory=Exporting)
    """What of a tenant's rows is not part of its export."""
    erasing: Erasing = field(default_factory=Erasing)
    """What becomes of a deleted tenant's rows, beyond being erased."""
    forgetting: Sequence[Forget] = ()
    """What the service keeps for a limited time only."""
    sealed: Sequence[Sealed] = ()
    """The secrets in its database, which KEY_ENCRYPTION_KEY encrypts."""
    commands: Mapping[str, typer.Typer] = field(default_factory=dict[str, typer.Typer])
    """Groups of operators' commands beyond `events` and `secrets`, by name."""
    describe: Describe | None = None
    """The service's state as events, for `events snapshot`; None: nobody projects what it has."""


def open_database(settings: ServiceSettings) -> Database:
    """The service's database, seen as its app role."""
    return Database(
        settings.database_url,
        settings.tenancy_key.get_secret_value(),
        pool_size=settings.database_pool_size,
        pool_timeout=settings.database_pool_timeout,
        pooler_mode=settings.pooler_mode,
    )
