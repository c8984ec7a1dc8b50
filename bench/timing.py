"""Can a foreign id be told from one that never existed, by the clock or by the bytes?

Pairs of requests in random order, one for a foreign campaign and one for an id that nobody has. The measure
is the chance that an attacker who sees one of each guesses right by taking the slower for the foreign one
(the Mann-Whitney statistic, U / n²): a half means that time tells nothing. The same between two groups of ids
that nobody has shows how far chance alone goes on this machine.
"""

import random
import statistics
import time
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from math import sqrt

from bench.report import Line
from bench.subject import Subject
from common.ids import Kind, parse, to_text

PAIRS = 3000
BAR = 0.02
_HIDDEN = ("trace_id", "instance")


async def measure(subject: Subject) -> Line:
    """The attacker's advantage over guessing, in shares of one."""
    chooser = random.Random(20261122)
    seconds: dict[str, list[float]] = {"foreign": [], "never": [], "never again": []}
    bodies: set[str] = set()
    for number in range(PAIRS):
        foreign = subject.foreign_campaigns[number % len(subject.foreign_campaigns)]
        ids = {"foreign": foreign, "never": _like(foreign, chooser), "never again": _like(foreign, chooser)}
        for name in chooser.sample(list(ids), len(ids)):
            took, body = await _ask(subject, ids[name])
            seconds[name].append(took)
            bodies.add(body)
    told = _chance(seconds["foreign"], seconds["never"])
    control = _chance(seconds["never again"], seconds["never"])
    medians = ", ".join(f"{name} {statistics.median(took) * 1000:.3f} ms" for name, took in seconds.items())
    notes = [
        f"{PAIRS} of each in random order; medians: {medians}",
        f"two groups of never-existing ids: {abs(control - 0.5):.4f}; standard error {_error():.4f}",
        f"{len(bodies)} distinct body (without {' and '.join(_HIDDEN)})",
    ]
    advantage = abs(told - 0.5)
    held = advantage <= BAR and len(bodies) == 1
    return Line("foreign or never existing, told by the clock", f"{advantage:.4f}", f"≤ {BAR}", held, notes)


async def _ask(subject: Subject, campaign_id: str) -> tuple[float, str]:
    began = time.perf_counter()
    answer = await subject.platform.get(subject.mine, f"/campaigns/{campaign_id}")
    took = time.perf_counter() - began
    if answer.status_code != 404:
        raise RuntimeError(answer.text)
    problem = {name: value for name, value in answer.json().items() if name not in _HIDDEN}
    return took, str(problem)


def _like(campaign_id: str, chooser: random.Random) -> str:
    """An id of the same time that nobody has."""
    value = bytearray(parse(Kind.CAMPAIGN, campaign_id).bytes)
    value[9:] = chooser.randbytes(7)
    return to_text(Kind.CAMPAIGN, type(parse(Kind.CAMPAIGN, campaign_id))(bytes=bytes(value)))


def _chance(slower: Sequence[float], faster: Sequence[float]) -> float:
    """The chance that one of `slower` took longer than one of `faster`; ties count half."""
    ordered = sorted(faster)
    wins = sum(bisect_left(ordered, one) + bisect_right(ordered, one) for one in slower) / 2
    return wins / (len(slower) * len(faster))


def _error() -> float:
    """Standard deviation of the statistic when both groups are alike."""
    return sqrt((2 * PAIRS + 1) / (12 * PAIRS * PAIRS))
