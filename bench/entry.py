"""The price of entering a tenant: pgbench with the sealed entry and policies, against pgbench without any.

Both sides send BEGIN, one statement before, the page of 20 campaigns, COMMIT: as many round trips. The plain
side is a role that no policy binds, and its statement before is a `set_config`.
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
ROUNDS, SECONDS, CLIENTS = 5, 4, 2

# The proof is of the service's key, which SQL cannot read; here somebody who can makes it, once per client.
_PROOF = """
CREATE SCHEMA IF NOT EXISTS bench;
GRANT USAGE ON SCHEMA bench TO campaigns_app;
CREATE OR REPLACE FUNCTION bench.proof(tenant uuid, member uuid, session uuid, issued_at timestamptz)
    RETURNS bytea LANGUAGE sql SECURITY DEFINER AS $$
    SELECT tenancy.mac(concat_ws('|', 'user', tenant::text, member::text, session::text,
        (extract(epoch FROM issued_at) * 1000000)::bigint::text, pg_backend_pid()::text)) $$;
"""
_PAGE = """
SELECT campaign_id, workspace_id, name, subject, status, version, created_at, updated_at
FROM campaigns.campaigns WHERE tenant_id = '{tenant}' ORDER BY campaign_id DESC LIMIT 21;
COMMIT;
"""
_SEALED = """
\\if :proven = 0
SELECT bench.proof({ids}) AS proof \\gset
\\set proven 1
\\endif
BEGIN;
SELECT verdict, role, tenant_status, features FROM tenancy.enter({ids}, :proof);
"""
_PLAIN = """
BEGIN;
SELECT set_config('bench.tenant', '{tenant}', true);
"""


async def measure(subject: Subject) -> Line:
    """Transactions per second with the sealed entry, as a share of those without."""
    ids, tenant = _ids(subject)
    urls = subject.environment["postgres"]
    superuser = f"{urls['superuser'].rpartition('/')[0]}/campaigns"
    connection = await asyncpg.connect(superuser)
    await connection.execute(_PROOF)
    await connection.close()
    sealed = (_SEALED + _PAGE).format(ids=ids, tenant=tenant)
    plain = (_PLAIN + _PAGE).format(tenant=tenant)
    rates: dict[str, list[float]] = {"sealed": [], "plain": []}
    for _ in range(ROUNDS):
        rates["sealed"].append(await _pgbench(urls["campaigns"]["app"], sealed))
        rates["plain"].append(await _pgbench(superuser, plain))
    medians = {name: statistics.median(found) for name, found in rates.items()}
    ratio = medians["sealed"] / medians["plain"]
    note = f"{medians['sealed']:.0f} against {medians['plain']:.0f} transactions/s, medians of {ROUNDS} turns"
    return Line(
        "tenant entry (seal, membership, RLS) / none", f"{ratio:.2f}", f"≥ {BAR}", ratio >= BAR, [note]
    )


def _ids(subject: Subject) -> tuple[str, UUID]:
    """The arguments of the entry as SQL, and the tenant."""
    tenant = parse(Kind.TENANT, subject.mine.tenant_id)
    user = parse(Kind.USER, subject.mine.owner_user_id)
    quoted = ", ".join(f"'{value}'::uuid" for value in (tenant, user, new_id()))
    return f"{quoted}, '2100-01-01Z'::timestamptz", tenant


async def _pgbench(url: str, script: str) -> float:
    """Transactions per second of one turn."""
    variables = ["-D", "proven=0", "-D", "proof=0"]
    with NamedTemporaryFile("w", suffix=".sql") as file:
        file.write(script)
        file.flush()
        process = await asyncio.create_subprocess_exec(
            str(binaries.postgres("pgbench")),
            *("-n", "-M", "prepared", "-c", str(CLIENTS), "-T", str(SECONDS), *variables),
            *("-f", file.name, "-d", url),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        printed, errors = await process.communicate()
    if process.returncode:
        raise RuntimeError(errors.decode())
    (found,) = [line for line in printed.decode().splitlines() if line.startswith("tps")]
    return float(found.split()[2])
