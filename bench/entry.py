"""The price of entering a tenant: pgbench with the sealed entry and policies, against pgbench without any.

Both sides run the same script, as many round trips: BEGIN, one statement, the page of 20 campaigns with an
explicit WHERE, COMMIT. The plain side is a role that no policy binds, and its one statement a `set_config`.
Meanwhile the other processes of the stack rest.
"""

import asyncio
import statistics
from tempfile import NamedTemporaryFile
from uuid import UUID

import asyncpg

from bench.report import Line
from bench.subject import Subject
from common.ids import Kind, new_id, parse
from penguinmails import binaries

BAR = 0.65
ROUNDS, SECONDS = 9, 2
BARRED = (2, 1)
"""Clients and threads of pgbench that the bar is for; the further ones are for the reader."""
OTHERS = ((1, 1), (4, 1), (2, 2))

# The proof is of the service's key, which SQL cannot read; here somebody who can makes it, once per client.
_PROOF = """
CREATE SCHEMA IF NOT EXISTS bench;
GRANT USAGE ON SCHEMA bench TO campaigns_app;
CREATE OR REPLACE FUNCTION bench.proof(tenant uuid, member uuid, session uuid, issued_at timestamptz)
    RETURNS bytea LANGUAGE sql SECURITY DEFINER AS $$
    SELECT tenancy.mac(key, 'user'::bytea || uuid_send(tenant) || uuid_send(member) || uuid_send(session)
        || timestamptz_send(issued_at) || int4send(pg_backend_pid())) FROM tenancy.keys AS key $$;
"""
_PAGE = """
SELECT campaign_id, workspace_id, name, subject, status, version, created_at, updated_at
FROM campaigns.campaigns WHERE tenant_id = '{tenant}' ORDER BY campaign_id DESC LIMIT 21;
COMMIT;
"""
_ONCE = """
\\if :proven = 0
SELECT {proof} AS proof \\gset
\\set proven 1
\\endif
BEGIN;
"""
_SEALED = _ONCE.replace("{proof}", "bench.proof({ids})") + "SELECT tenancy.enter({ids}, :proof);"
_PLAIN = _ONCE.replace("{proof}", "'{tenant}'") + "SELECT set_config('bench.tenant', :proof, true);"


async def measure(subject: Subject) -> Line:
    """Transactions per second with the sealed entry, as a share of those without."""
    sealed = await sealed_side(subject)
    plain = (superuser(subject), (_PLAIN + _PAGE).format(tenant=_ids(subject)[1]))
    with subject.database_alone():
        shares = {threads: await _share(sealed, plain, threads) for threads in (BARRED, *OTHERS)}
    ratio = shares[BARRED][0]
    notes = [
        f"{clients} clients, {threads} threads: {share:.2f}, {rates}"
        for (clients, threads), (share, rates) in shares.items()
    ]
    return Line(
        "tenant entry (seal, membership, RLS) / none", f"{ratio:.3f}", f"≥ {BAR}", ratio >= BAR, notes
    )


async def sealed_side(subject: Subject) -> tuple[str, str]:
    """Where pgbench runs the transaction of a page with the sealed entry, and its script."""
    connection = await asyncpg.connect(superuser(subject))
    await connection.execute(_PROOF)
    await connection.execute("VACUUM ANALYZE")
    await connection.close()
    ids, tenant = _ids(subject)
    return subject.environment["postgres"]["campaigns"]["app"], (_SEALED + _PAGE).format(
        ids=ids, tenant=tenant
    )


def superuser(subject: Subject) -> str:
    """The address of the campaigns database for somebody whom no policy binds."""
    return f"{subject.environment['postgres']['superuser'].rpartition('/')[0]}/campaigns"


async def _share(
    sealed: tuple[str, str], plain: tuple[str, str], threads: tuple[int, int]
) -> tuple[float, str]:
    """The share at so many clients and threads, and the rates that it is of."""
    rates = [(await pgbench(*sealed, *threads), await pgbench(*plain, *threads)) for _ in range(ROUNDS)]
    with_entry, without = (statistics.median(side) for side in zip(*rates, strict=True))
    return with_entry / without, (
        f"{with_entry:.0f} against {without:.0f} transactions/s, medians of {ROUNDS} turns of {SECONDS} s"
    )


def _ids(subject: Subject) -> tuple[str, UUID]:
    """The arguments of the entry as SQL, and the tenant."""
    tenant = parse(Kind.TENANT, subject.mine.tenant_id)
    user = parse(Kind.USER, subject.mine.owner_user_id)
    quoted = ", ".join(f"'{value}'::uuid" for value in (tenant, user, new_id()))
    return f"{quoted}, '2100-01-01Z'::timestamptz", tenant


async def pgbench(url: str, script: str, clients: int, threads: int) -> float:
    """Transactions per second of one turn."""
    variables = ["-D", "proven=0", "-D", "proof=0"]
    with NamedTemporaryFile("w", suffix=".sql") as file:
        file.write(script)
        file.flush()
        process = await asyncio.create_subprocess_exec(
            str(binaries.postgres("pgbench")),
            *("-n", "-M", "prepared", "-c", str(clients), "-j", str(threads), "-T", str(SECONDS), *variables),
            *("-f", file.name, "-d", url),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        printed, errors = await process.communicate()
    if process.returncode:
        raise RuntimeError(errors.decode())
    (found,) = [line for line in printed.decode().splitlines() if line.startswith("tps")]
    return float(found.split()[2])
