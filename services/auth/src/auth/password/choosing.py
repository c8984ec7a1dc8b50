"""A password that somebody chooses: judged, then hashed as its address asks for."""

from auth.parts import AuthParts
from auth.password.errors import WeakPassword
from auth.password.rules import weakness
from auth.password.service import address_key, get_parameters
from common.context import SystemContext
from common.ids import PLATFORM_TENANT
from common.web.kernel import Kernel


async def hash_chosen(shared: Kernel, parts: AuthParts, password: str, email: str, company: str) -> str:
    """The hash to store. Call it between two transactions: no connection is held while it takes its time.

    Raises:
        WeakPassword: nobody should have this password.
        Unavailable: too many computations are waiting.
    """
    why = weakness(password, email, company)
    if why is not None:
        raise WeakPassword(why)
    key = address_key(parts.settings.link_secret.get_secret_value(), email)
    async with shared.database.tenant(SystemContext(PLATFORM_TENANT, "token", shared.service)) as session:
        parameters = await get_parameters(session, key, parts.settings.password_cost)
        await session.commit()
    return await parts.hasher.hash(password, parameters)
