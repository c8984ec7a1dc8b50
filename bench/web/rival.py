"""The same page of PostGraphile 5: a server made for speed, asked beside ours on the same database.

It runs as its documentation says, for somebody who owns everything: no token, no membership, no policies.
"""

import asyncio
import json
import os
import shutil
import statistics
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.e2e.client import eventually

from bench import entry
from bench.report import Line, listed
from bench.subject import Subject
from bench.web.limits import UNLIMITED, limit
from bench.web.load import crowd, message, request
from bench.web.reading import CONNECTIONS, NEEDED, ROUNDS, SECONDS
from common.ids import Kind, parse
from penguinmails import ports, probes

BAR = 1.5
_WARM_UP_SECONDS = 25.0
_FOLDER = Path(__file__).parents[1] / "postgraphile"
_INSTALL = ("ci", "--no-audit", "--no-fund", "--loglevel", "error")
_PAGE = """
{ allCampaigns(first: 20, condition: {tenantId: "TENANT"}, orderBy: CAMPAIGN_ID_DESC) {
    nodes { campaignId workspaceId name subject fromName fromEmail replyTo templateId listId status
            createdAt updatedAt }
    pageInfo { hasNextPage endCursor } } }
"""


def is_here() -> bool:
    """Whether it can be measured: npm fetches it, and a Node of the version it wants."""
    return shutil.which("npm") is not None


async def measure(subject: Subject) -> Line:
    """Pages a second of one service process, as a multiple of PostGraphile's."""
    await limit(subject, subject.mine, UNLIMITED)
    our_page = request("GET", "/campaigns?limit=20", subject.mine.token)
    query = _PAGE.replace("TENANT", str(parse(Kind.TENANT, subject.mine.tenant_id)))
    their_page = message("POST", "/graphql", {}, json.dumps({"query": query}).encode())
    ours: list[float] = []
    theirs: list[float] = []
    async with (
        crowd(subject.environment["services"]["campaigns"], CONNECTIONS) as us,
        _postgraphile(entry.superuser(subject)) as url,
        crowd(url, CONNECTIONS) as them,
    ):
        with subject.only(*NEEDED):
            await them.rate(lambda: their_page, 200, subject.seconds(_WARM_UP_SECONDS))
            await us.rate(lambda: our_page, 200, subject.seconds(SECONDS))
            for _ in range(ROUNDS):
                ours.append(await us.rate(lambda: our_page, 200, subject.seconds(SECONDS)))
                theirs.append(await them.rate(lambda: their_page, 200, subject.seconds(SECONDS)))
    factor = statistics.median(ours) / statistics.median(theirs)
    notes = [
        f"ours, one process with tokens, membership and policies: {listed(ours)}",
        f"PostGraphile's, one process that owns the database: {listed(theirs)}",
    ]
    return Line("page of 20 campaigns / PostGraphile 5", f"{factor:.2f}", f"≥ {BAR}", factor >= BAR, notes)


@asynccontextmanager
async def _postgraphile(database: str) -> AsyncGenerator[str]:
    """Its address, while it serves the schema of `campaigns`."""
    binaries = _FOLDER / "node_modules" / ".bin"
    if not binaries.exists():
        installing = await asyncio.create_subprocess_exec("npm", *_INSTALL, cwd=_FOLDER)
        if await installing.wait():
            raise RuntimeError("npm could not install PostGraphile")
    port = ports.random_free(set())
    places = ("-c", database, "-s", "campaigns", "-n", "127.0.0.1", "-p", str(port))
    process = await asyncio.create_subprocess_exec(
        *(
            str(binaries / "node"),
            str(binaries / "postgraphile"),
            "-P",
            "postgraphile/presets/amber",
            *places,
        ),
        cwd=_FOLDER,
        env={**os.environ, "NODE_ENV": "production"},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
    )
    accepts = probes.accepts(port)
    try:
        await eventually(lambda: accepts(process.pid), within=60)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        await process.wait()
