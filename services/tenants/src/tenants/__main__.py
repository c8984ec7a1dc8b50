"""`python -m tenants serve | consume | relay | work | run | migrate | events | …`: see `--help`."""

from pathlib import Path

from common.cli import main
from common.exporting import Exporting
from common.service import Service
from tenants.app import create_app
from tenants.billing.commands import commands as billing
from tenants.billing.orders import reconcile_ordered
from tenants.billing.reconciliation import reconcile_daily
from tenants.billing.worker import settle_billing
from tenants.custom_domain.worker import recheck_domains
from tenants.deletion.commands import commands as deletion
from tenants.deletion.worker import delete_tenants
from tenants.erasure import ERASING
from tenants.export.commands import commands as exports
from tenants.export.worker import finish_exports
from tenants.handlers import HANDLERS
from tenants.lifecycle.watch import watch_departures
from tenants.platform.commands import commands as tenants
from tenants.provisioning.commands import commands as provisioning
from tenants.provisioning.watch import watch_sign_ups
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
    workers=(
        settle_billing,
        take_in_events,
        reconcile_daily,
        reconcile_ordered,
        delete_tenants,
        finish_exports,
        recheck_domains,
        watch_sign_ups,
        watch_departures,
    ),
    commands={
        "billing": billing,
        "deletion": deletion,
        "exports": exports,
        "provisioning": provisioning,
        "tenants": tenants,
    },
    exporting=Exporting(
        left_out={
            "tenants.sign_up_keys": "the platform's",
            "tenants.stripe_events": "the platform's",
            "tenants.reconciliations": "what operators compared: the platform's",
            "tenants.domain_claims": "a keyed hash of the domain that is in tenants.custom_domains",
        }
    ),
    erasing=ERASING,
)

if __name__ == "__main__":
    main(SERVICE)
