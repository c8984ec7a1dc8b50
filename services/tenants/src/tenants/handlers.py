"""What the service does about events, beyond the kernel's projections."""

from common.bus.projections import Handler, Skippable
from common.contracts.auth import UserRegistered, WelcomeMailDelayed, WelcomeMailRefused, WelcomeMailSent
from common.contracts.campaigns import EmailSendsReserved
from common.contracts.envelope import Event
from common.contracts.tenants import TenantErased, TenantPartExported
from common.contracts.workspaces import WorkspaceCreated
from tenants.deletion.service import note_erasure
from tenants.export.service import note_part
from tenants.provisioning.service import (
    note_default_workspace,
    note_delayed_mail,
    note_owner_account,
    note_refused_mail,
    note_welcome_mail,
)
from tenants.tenant.service import note_monthly_sends

HANDLERS: dict[type[Event], Handler] = {
    UserRegistered: note_owner_account,
    WorkspaceCreated: note_default_workspace,
    TenantPartExported: note_part,
    TenantErased: Skippable(note_erasure),
    WelcomeMailSent: Skippable(note_welcome_mail),
    WelcomeMailDelayed: Skippable(note_delayed_mail),
    WelcomeMailRefused: Skippable(note_refused_mail),
    EmailSendsReserved: Skippable(note_monthly_sends),
}
