"""Sign-ups while something is killed, again and again: one of each thing, and the same 201.

One round: a client signs up, and after a time that the seed chooses a process that the seed chooses dies by
SIGKILL; the client repeats with its key. Rounds overlap: the next begins as soon as its own victim lives,
while what the one before killed comes back and what it began goes on.
"""

import asyncio
import random
from collections import Counter
from typing import Any

from penguinmails.stack import Stack
from tests.e2e.client import Platform, Tenant
from tests.faults import chance
from tests.faults.saga.client import Client
from tests.faults.saga.verdict import copies, find_breaches, until_finished
from tests.summary import Say

VICTIMS = ("auth", "tenants", "workspaces", "kafka", "postgres", "stripe", "mail")
MOMENTS = ((0.0, 0.3), (0.0, 0.3), (0.9, 1.6))
"""Seconds: twice while the answer is being made, once while customer and mail are."""
AT_A_TIME = 4
"""Sign-ups under way; nothing is killed while so many have no 201, or there would never be one."""
_PATIENCE = 90.0


def draw(rng: random.Random, rounds: int) -> list[tuple[str, float]]:
    """Victim and moment of every round; each victim before any comes again."""
    victims: list[str] = []
    while len(victims) < rounds:
        victims += rng.sample(VICTIMS, len(VICTIMS))
    return [(victim, rng.uniform(*rng.choice(MOMENTS))) for victim in victims[:rounds]]


async def kill(stack: Stack, victim: str) -> None:
    """SIGKILL; a service that was just ending because the database is away is killed when it is back."""
    while True:
        await asyncio.to_thread(stack.wait_ready, victim, patience=_PATIENCE)
        try:
            await asyncio.to_thread(stack.kill, victim)
        except (IndexError, ProcessLookupError):
            continue
        return


async def test_there_is_one_of_each_whatever_dies(
    stack: Stack, platform: Platform, tenant: Tenant, environment: dict[str, Any], say_at_the_end: Say
) -> None:
    plan = draw(random.Random(f"{chance.seed()} saga"), chance.runs(len(VICTIMS)))
    clients = [Client(platform, victim) for victim, _ in plan]
    room = asyncio.Semaphore(AT_A_TIME)
    signing: list[asyncio.Task[Tenant]] = []
    async with asyncio.TaskGroup() as group:
        for client, (victim, moment) in zip(clients, plan, strict=True):
            await room.acquire()
            await asyncio.to_thread(stack.wait_ready, victim, patience=_PATIENCE)
            signing.append(group.create_task(client.sign_up()))
            signing[-1].add_done_callback(lambda _: room.release())
            await asyncio.sleep(moment)
            await kill(stack, victim)
    owners = [task.result() for task in signing]
    for victim in VICTIMS:
        await asyncio.to_thread(stack.wait_ready, victim, patience=_PATIENCE)
    await until_finished(environment, owners)
    breaches = await find_breaches(environment, owners)
    before: Counter[int] = sum((client.before for client in clients), Counter())
    answers = ", ".join(f"{count} × {status or 'broken'}" for status, count in sorted(before.items()))
    say_at_the_end(
        "faults of the saga",
        f"FAULT_SEED={chance.seed()}: {len(owners)} sign-ups, {len(plan)} kills, {len(breaches)} breaches; "
        f"before the 201: {answers or 'nothing'}; slowest 201 after "
        f"{max(client.seconds for client in clients):.1f} s; {copies(environment, owners)} mails twice, "
        "with the same Message-ID",
    )
    assert not breaches, breaches
    for client, owner in zip(clients, owners, strict=True):
        await client.sign_up_again(owner)
