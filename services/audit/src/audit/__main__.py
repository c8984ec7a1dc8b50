"""`python -m audit serve | consume | relay | work | run | migrate | events`."""

from pathlib import Path

from audit.app import create_app
from audit.erasure import ERASING
from audit.handlers import HANDLERS
from audit.ingest.worker import ingest
from audit.settings import AuditSettings
from common.cli import main
from common.service import Service

SERVICE = Service(
    name="audit",
    settings=AuditSettings,
    create_app=create_app,
    migrations=Path(__file__).parents[2] / "migrations",
    handlers=HANDLERS,
    consumers=(ingest,),
    erasing=ERASING,
)

if __name__ == "__main__":
    main(SERVICE)
