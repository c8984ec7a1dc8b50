"""`python -m audit serve | consume | relay | work | run | migrate | events`."""

from pathlib import Path

from audit.app import create_app
from audit.erasure import ERASING
from audit.gap.commands import commands
from audit.handlers import HANDLERS
from audit.ingest.worker import ingest
from audit.retention import trim_log
from audit.settings import AuditSettings
from common.cli import main
from common.exporting import Exporting
from common.service import Service

SERVICE = Service(
    name="audit",
    settings=AuditSettings,
    create_app=create_app,
    migrations=Path(__file__).parents[2] / "migrations",
    handlers=HANDLERS,
    consumers=(ingest,),
    exporting=Exporting(
        left_out={
            "audit.open_accesses": "the platform's: accesses to be judged again",
            "audit.quarantine": "the platform's: records that are no events",
            "audit.ownership": "the platform's: which ids are whose",
        }
    ),
    commands={"gaps": commands},
    erasing=ERASING,
    forgetting=(trim_log,),
)

if __name__ == "__main__":
    main(SERVICE)
