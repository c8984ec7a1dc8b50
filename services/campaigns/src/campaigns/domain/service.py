"""What can be done with a domain."""

import secrets

from campaigns.domain.errors import DomainExists
from campaigns.domain.keys import KeyMaker
from campaigns.domain.schemas import DomainCreate
from campaigns.models import DkimKeyRow, DomainRow
from common.bus import outbox
from common.contracts.campaigns import DomainAdded, DomainRemoved
from common.db.lookup import flush_or_refuse
from common.db.session import TenantSession
from common.ids import new_id

_TOKEN_BYTES = 32


_REFUSALS = {"domains_domain_key": DomainExists}


async def add_domain(
    session: TenantSession, body: DomainCreate, dkim: KeyMaker
) -> tuple[DomainRow, DkimKeyRow]:
    """Add a domain that waits for its DNS records. The row comes first: nobody makes a key in vain.

    Raises:
        DomainExists: the tenant has it already.
    """
    row = DomainRow(domain_id=new_id(), ownership_token=secrets.token_urlsafe(_TOKEN_BYTES), **dict(body))
    session.add(row)
    await flush_or_refuse(session, _REFUSALS)
    key = await dkim.make(session.tenant_id, row.domain_id)
    key_row = DkimKeyRow(
        domain_id=row.domain_id, selector=key.selector, public_key=key.public, private_key=key.private
    )
    session.add(key_row)
    await session.flush()
    await outbox.emit(
        session,
        DomainAdded(
            tenant_id=session.tenant_id,
            workspace_id=row.workspace_id,
            domain_id=row.domain_id,
            version=row.version,
            domain=row.domain,
        ),
    )
    return row, key_row


async def remove_domain(session: TenantSession, row: DomainRow) -> None:
    """Remove a domain and its key for good; added again it gets others."""
    await session.delete(row)
    await session.flush()
    await outbox.emit(
        session,
        DomainRemoved(
            tenant_id=session.tenant_id,
            workspace_id=row.workspace_id,
            domain_id=row.domain_id,
            version=row.version + 1,
            domain=row.domain,
        ),
    )
