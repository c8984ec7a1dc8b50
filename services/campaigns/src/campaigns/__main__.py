"""`python -m campaigns serve | consume | relay | work | run | migrate | events | secrets`."""

from pathlib import Path

from campaigns.app import create_app
from campaigns.domain.keys import name_of_secret
from campaigns.handlers import HANDLERS
from campaigns.models import DkimKeyRow
from campaigns.settings import CampaignsSettings
from campaigns.snapshot import describe
from common.cli import main
from common.exporting import Exporting
from common.resealing import Sealed
from common.service import Service

SERVICE = Service(
    name="campaigns",
    settings=CampaignsSettings,
    create_app=create_app,
    migrations=Path(__file__).parents[2] / "migrations",
    handlers=HANDLERS,
    describe=describe,
    sealed=(Sealed(DkimKeyRow.private_key, DkimKeyRow.domain_id, name_of_secret),),
    exporting=Exporting(left_out={"campaigns.dkim_keys": "secrets; the public half is in the DNS"}),
)

if __name__ == "__main__":
    main(SERVICE)
