"""Accounts with passwords, as the tests need them."""

from uuid import UUID

from services.auth.tests.office import Office

from auth.password.hashing import Hasher
from auth.password.service import address_key, get_parameters
from auth.settings import settings_of
from common.context import SystemContext
from common.contracts.auth import TenantRoleName, UserRegistered
from common.ids import PLATFORM_TENANT, new_id
from common.testing.harness import Harness, MadeTenant, bearer

PASSWORD = "a walrus on a bicycle"
Person = tuple[UUID, dict[str, str]]
"""Id and headers."""


async def hash_of(service: Harness, email: str, password: str = PASSWORD) -> str:
    """The hash that the service stores for the address and password."""
    key = address_key(settings_of(service.kernel).link_secret.get_secret_value(), email)
    context = SystemContext(PLATFORM_TENANT, "token", "auth")
    async with service.kernel.database.tenant(context) as session:
        parameters = await get_parameters(session, key, settings_of(service.kernel).password_cost)
        await session.commit()
    return await Hasher(1, 1).hash(password, parameters)


async def give_password(
    service: Harness, office: Office, tenant: MadeTenant, email: str, password: str = PASSWORD
) -> None:
    """Give the tenant's owner a password."""
    await office.fetch(
        "UPDATE auth.users SET password_hash = $2 WHERE tenant_id = $1 AND user_id = $3",
        tenant.tenant_id,
        await hash_of(service, email, password),
        tenant.owner_id,
    )


async def add(service: Harness, office: Office, tenant: MadeTenant, role: TenantRoleName) -> Person:
    """A further user: as stored, and as projected."""
    user_id, email = new_id(), f"{new_id().hex}@example.com"
    await office.fetch(
        "INSERT INTO auth.users (tenant_id, user_id, email, name, role) VALUES ($1, $2, $3, 'Ulla', $4)",
        tenant.tenant_id,
        user_id,
        email,
        role,
    )
    event = UserRegistered(
        tenant_id=tenant.tenant_id, user_id=user_id, version=1, email=email, name="Ulla", role=role
    )
    await service.handle(tenant.tenant_id, event)
    return user_id, bearer(service.issuer.token(tenant.tenant_id, user_id))
