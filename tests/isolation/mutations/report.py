"""What a mutation run says."""

from collections.abc import Sequence

from tests.isolation.mutations.mutation import SchemaMutation
from tests.isolation.mutations.runner import Verdict

_PREFIX = "tests/isolation/"


def line(verdict: Verdict) -> str:
    """One mutation in one line; trouble may take more."""
    if verdict.trouble is not None:
        return f"NO ANSWER {verdict.mutation.name}: {verdict.trouble}"
    if verdict.killer is None:
        return f"SURVIVED {verdict.mutation.name} ({verdict.seconds:.0f} s)"
    return f"killed   {verdict.mutation.name} ({verdict.seconds:.0f} s): {_short(verdict.killer)}"


def table(verdicts: Sequence[Verdict]) -> str:
    """All verdicts below each other."""
    width = max((len(verdict.mutation.name) for verdict in verdicts), default=0)
    rows = [
        f"{_kind(verdict):<6}  {verdict.mutation.name:<{width}}  {verdict.seconds:5.1f} s  {_fate(verdict)}"
        for verdict in verdicts
    ]
    return "\n".join(["", *rows, ""])


def markdown(verdicts: Sequence[Verdict]) -> str:
    """The table for the documentation: of a test with parameters its name only."""
    rows = [
        f"| {_kind(verdict)} | {verdict.mutation.name} | `{_fate(verdict).partition('[')[0]}` "
        f"| {verdict.seconds:.0f} |"
        for verdict in verdicts
    ]
    return "\n".join(["| broken | how | first red test | s |", "|---|---|---|---:|", *rows, ""])


def summary(verdicts: Sequence[Verdict]) -> str:
    """The kill rate, and what is wrong when it is not 100 %."""
    killed = sum(verdict.killed for verdict in verdicts)
    lost = [verdict.mutation.name for verdict in verdicts if not verdict.killed]
    rate = 100 * killed / len(verdicts) if verdicts else 0.0
    text = f"Kill rate: {killed} of {len(verdicts)} mutations = {rate:.0f} %"
    return f"{text}\nNot killed: {', '.join(lost)}" if lost else text


def _kind(verdict: Verdict) -> str:
    return "schema" if isinstance(verdict.mutation, SchemaMutation) else "code"


def _fate(verdict: Verdict) -> str:
    if verdict.trouble is not None:
        return "no answer"
    return _short(verdict.killer) if verdict.killer is not None else "SURVIVED"


def _short(test: str) -> str:
    return test.removeprefix(_PREFIX)
