"""Which costs the passwords of all addresses have: more than one after it was raised."""

import asyncio

from auth.password.hashing import Cost
from auth.password.queries import list_costs
from common.db.session import TenantSession

_KEPT_SECONDS = 600.0


class CostsInUse:
    """Known for a while: whose log-in it is that looks again has nothing to do with who they are."""

    def __init__(self) -> None:
        self._costs: frozenset[Cost] = frozenset()
        self._old_at = 0.0

    async def look(self, session: TenantSession) -> frozenset[Cost]:
        """All costs; in a context of the platform's tenant."""
        now = asyncio.get_running_loop().time()
        if now >= self._old_at:
            self._costs = frozenset(await list_costs(session))
            self._old_at = now + _KEPT_SECONDS
        return self._costs
