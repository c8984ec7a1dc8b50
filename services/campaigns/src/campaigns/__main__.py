"""`python -m campaigns serve | consume | relay | work | run | migrate | events`."""

from pathlib import Path

from campaigns.app import create_app
from campaigns.handlers import HANDLERS
from campaigns.settings import CampaignsSettings
from campaigns.snapshot import describe
from common.cli import main
from common.exporting import Exporting
from common.service import Service

SERVICE = Service(
    name="campaigns",
    settings=CampaignsSettings,
    create_app=create_app,
    migrations=Path(__file__).parents[2] / "migrations",
    handlers=HANDLERS,
    describe=describe,
    exporting=Exporting(left_out={"campaigns.dkim_keys": "secrets; the public half is in the DNS"}),
)

if __name__ == "__main__":
    main(SERVICE)
