"""`python -m tenants serve | consume | relay | work | run | migrate | events | provisioning | tenants`."""

from pathlib import Path

from common.cli import main
from common.service import Service
from tenants.app import create_app
from tenants.billing.worker import settle_billing
from tenants.handlers import HANDLERS
from tenants.platform.commands import commands as tenants
from tenants.provisioning.commands import app as provisioning
from tenants.settings import TenantsSettings
from tenants.snapshot import describe

SERVICE = Service(
    name="tenants",
    settings=TenantsSettings,
    create_app=create_app,
    migrations=Path(__file__).parents[2] / "migrations",
    handlers=HANDLERS,
    describe=describe,
    workers=(settle_billing,),
    commands={"provisioning": provisioning, "tenants": tenants},
)

if __name__ == "__main__":
    main(SERVICE)
