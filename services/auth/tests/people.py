"""Accounts with passwords, as the tests need them."""

from services.auth.tests.office import Office

from auth.password.hashing import Hasher
from auth.password.service import address_key, get_parameters
from auth.settings import settings_of
from common.context import SystemContext
from common.ids import PLATFORM_TENANT
from common.testing.harness import Harness, MadeTenant

PASSWORD = "a walrus on a bicycle"


async def hash_of(service: Harness, email: str, password: str = PASSWORD) -> str:
    """The hash that the service stores for the address and password."""
    key = address_key(settings_of(service.kernel).link_secret.get_secret_value(), email)
    context = SystemContext(PLATFORM_TENANT, "token", "auth")
    async with service.kernel.database.tenant(context) as session:
        parameters = await get_parameters(session, key)
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
