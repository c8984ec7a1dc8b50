"""What a password would be hashed to at its address, at every cost that passwords of any address still have.

Raising the cost must not tell which addresses were known before. So while some have an older one, each log-in
computes the same hashes, whatever exists; and one that succeeds leaves its account at the present cost.
"""

import hashlib
from dataclasses import dataclass

from auth.login.queries import count_holders
from auth.parts import AuthParts
from auth.password import queries
from auth.password.hashing import Cost, Parameters
from common.context import SystemContext
from common.ids import PLATFORM_TENANT
from common.web.kernel import Kernel


@dataclass(frozen=True, slots=True)
class Candidates:
    """`hashes`: the first is what the password should be stored as. `noted`: the address's own cost, if it
    has one; an account of it may have that, or the present one."""

    hashes: tuple[str, ...]
    noted: Cost | None

    @property
    def present(self) -> str:
        return self.hashes[0]


async def compute(shared: Kernel, parts: AuthParts, key: bytes, password: str) -> Candidates:
    """The hashes at the address of `key`: as costly whether anybody has that or not."""
    async with shared.database.tenant(_platform(shared)) as session:
        known = await queries.find_parameters(session, key)
        in_use = await parts.costs.look(session)
    parameters = known or _nobodys(key)
    present = parts.settings.password_cost
    older = sorted({*in_use, known.cost if known else present} - {present})
    hashes = await parts.hasher.hash_each(password, parameters.salt, [present, *older])
    return Candidates(tuple(hashes), known.cost if known else None)


async def settle(shared: Kernel, parts: AuthParts, key: bytes, email: str, candidates: Candidates) -> None:
    """Note the present cost for an address whose only holder has just logged in."""
    present = parts.settings.password_cost
    if candidates.noted in (None, present):
        return
    async with shared.database.tenant(_platform(shared)) as session:
        if await count_holders(session, email) == 1:
            await queries.note_cost(session, key, present)
            await session.commit()


def _platform(shared: Kernel) -> SystemContext:
    return SystemContext(PLATFORM_TENANT, "public", shared.service)


def _nobodys(key: bytes) -> Parameters:
    """Those of an address that has none: always the same salt."""
    return Parameters(hashlib.sha256(b"nobody" + key).digest()[:16])
