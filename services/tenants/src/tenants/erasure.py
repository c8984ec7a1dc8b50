"""What becomes of a deleted tenant's rows here: all go but what proves the deletion."""

from collections.abc import Mapping

from sqlalchemy import text

from common.db.session import TenantSession
from common.erasure import Erasing, Progress

_CLAIMS = text("SELECT tenants.erase_claims()")


async def erase_claims(session: TenantSession, progress: Progress) -> Mapping[str, int]:
    """The tenant's claims on domains, which no grant reaches; there are few."""
    erased = (await session.execute(_CLAIMS)).scalar_one()
    return {"tenants.domain_claims": erased} if erased else {}


ERASING = Erasing(
    kept={
        "tenants.deletions": "when the tenant was deleted, and the certificate",
        "tenants.erasure_reports": "what each service said of its part: tables and numbers",
    },
    covered=frozenset({"tenants.domain_claims"}),
    erasers=(erase_claims,),
)
