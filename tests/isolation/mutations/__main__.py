"""`python -m tests.isolation.mutations [-k WORD …]`: break things on purpose and see the tests notice.

Ends with 0 only when the unmutated suite is green, every mutation still applies and none survives.
"""

import asyncio
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer

from tests.isolation.mutations import report
from tests.isolation.mutations.code import CODE_MUTATIONS
from tests.isolation.mutations.ground import make_templates
from tests.isolation.mutations.mutation import ROOT, Mutation
from tests.isolation.mutations.runner import Runner, Verdict
from tests.isolation.mutations.schema import SCHEMA_MUTATIONS
from tests.isolation.mutations.trial import SUITE
from tests.postgres import database_server

MUTATIONS: tuple[Mutation, ...] = (*SCHEMA_MUTATIONS, *CODE_MUTATIONS)


def main(
    chosen: Annotated[
        list[str] | None, typer.Option("-k", help="Only mutations with this in their name; repeatable")
    ] = None,
    at_a_time: Annotated[int, typer.Option("-j", help="Trials at a time")] = os.cpu_count() or 1,
    table: Annotated[Path | None, typer.Option(help="Write the table to this file, as Markdown")] = None,
) -> None:
    """Break schema and code on purpose; the isolation tests must notice each time."""
    words = chosen or [""]
    mutations = [mutation for mutation in MUTATIONS if any(word in mutation.name for word in words)]
    if not mutations:
        raise typer.BadParameter(f"no mutation has {' or '.join(words)} in its name")
    with tempfile.TemporaryDirectory(prefix="mutations-") as home:
        os.chmod(home, 0o755)
        verdicts = asyncio.run(_run(Path(home), mutations, at_a_time))
    typer.echo(report.table(verdicts))
    if table is not None:
        table.write_text(report.markdown(verdicts), encoding="utf-8")
    typer.echo(report.summary(verdicts))
    sys.exit(0 if verdicts and all(verdict.killed for verdict in verdicts) else 1)


async def _run(home: Path, mutations: list[Mutation], at_a_time: int) -> list[Verdict]:
    """Verdicts in the order of the lists; none when the unmutated suite is not green."""
    began = time.monotonic()
    told = 0

    def tell(verdict: Verdict) -> None:
        nonlocal told
        told += 1
        typer.echo(f"[{told:>2}/{len(mutations)} {time.monotonic() - began:5.0f} s] {report.line(verdict)}")

    with database_server(home) as ground:
        typer.echo("Making a migrated database of each service …")
        runner = Runner(ground, await make_templates(ground), at_a_time, tell)
        typer.echo("Running the isolation tests as they are: they must be green …")
        outcomes = await runner.run_unmutated(_groups(at_a_time))
        red = [outcome.red for outcome in outcomes if outcome.red is not None]
        if red:
            typer.echo(f"The unmutated suite is red: {', '.join(red)}")
            return []
        typer.echo(f"Green after {time.monotonic() - began:.0f} s. Now {len(mutations)} mutations …")
        verdicts = await runner.try_all(mutations)
    return sorted(verdicts, key=lambda verdict: mutations.index(verdict.mutation))


def _groups(count: int) -> list[list[str]]:
    """The test files in `count` groups of about the same size."""
    files = sorted((ROOT / SUITE).glob("test_*.py"), key=lambda file: -file.stat().st_size)
    groups = [[file.name for file in files[start::count]] for start in range(count)]
    return [group for group in groups if group]


if __name__ == "__main__":
    typer.run(main)
