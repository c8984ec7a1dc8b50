"""`python -m workspaces serve | consume | relay | work | run | migrate | events`."""

from pathlib import Path

from common.cli import main
from common.service import Service
from common.settings import ServiceSettings
from workspaces.app import create_app
from workspaces.handlers import HANDLERS
from workspaces.snapshot import describe

SERVICE = Service(
    name="workspaces",
    settings=ServiceSettings,
    create_app=create_app,
    migrations=Path(__file__).parents[2] / "migrations",
    handlers=HANDLERS,
    describe=describe,
)

if __name__ == "__main__":
    main(SERVICE)
