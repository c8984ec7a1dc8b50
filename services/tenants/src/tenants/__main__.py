"""`python -m tenants serve | consume | relay | work | run | migrate | events | billing`."""

from pathlib import Path

from common.cli import main
from common.service import Service
from tenants.app import create_app
from tenants.billing.command import billing_commands
from tenants.billing.reconciliation import reconcile_daily
from tenants.billing.worker import settle_billing
from tenants.handlers import HANDLERS
from tenants.settings import TenantsSettings
from tenants.snapshot import describe
from tenants.webhook.worker import take_in_events

SERVICE = Service(
    name="tenants",
    settings=TenantsSettings,
    create_app=create_app,
    migrations=Path(__file__).parents[2] / "migrations",
    handlers=HANDLERS,
    describe=describe,
    workers=(settle_billing, take_in_events, reconcile_daily),
    commands={"billing": billing_commands},
)

if __name__ == "__main__":
    main(SERVICE)
