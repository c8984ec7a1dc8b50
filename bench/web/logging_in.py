"""Logging in against the hash that each log-in has to compute."""

import asyncio
import json
import statistics
import time
from uuid import uuid4

from tests.e2e.test_people import PASSWORD, Person, link_in_mail

from auth.password.hashing import Hasher, fresh_parameters
from bench.report import Line, listed
from bench.subject import Subject
from bench.web.load import crowd, message

BAR = 0.7
PEOPLE, ROUNDS, SECONDS = 4, 5, 3.0
_THREADS = 2
"""Hashes at a time, as the service's setting has it."""


async def measure(subject: Subject) -> Line:
    """Log-ins a second, as a share of the bare hashes a second that as many threads compute."""
    people = [await _person(subject) for _ in range(PEOPLE)]
    entered: list[float] = []
    hashed: list[float] = []
    for _ in range(ROUNDS):
        entered.append(await _entered(subject, people, subject.seconds(SECONDS)))
        hashed.append(await _hashed(subject.seconds(SECONDS)))
    rate, most = statistics.median(entered), statistics.median(hashed)
    notes = [
        f"{rate:.1f} log-ins/s of {PEOPLE} people at a time, through the gateway: {listed(entered)}",
        f"{most:.1f} hashes/s in {_THREADS} threads (Argon2id, 19 MiB, 2 passes): {listed(hashed)}",
    ]
    return Line("log-ins / bare Argon2", f"{rate / most:.2f}", f"≥ {BAR}", rate / most >= BAR, notes)


async def _person(subject: Subject) -> Person:
    email = f"person-{uuid4().hex}@example.com"
    await subject.platform.make(subject.mine, "/invitations", email=email, role="member", workspaces=[])
    wish = {"token": await link_in_mail(subject.environment, email), "name": "Pat", "password": PASSWORD}
    accepted = await subject.platform.http.post("/api/v1/invitations/accept", json=wish)
    return Person(subject.platform, subject.mine, email, accepted.raise_for_status().json())


async def _entered(subject: Subject, people: list[Person], seconds: float) -> float:
    """Each person logs in again as soon as they have; asked cheaply, for all this is on the same cores."""
    began = time.monotonic()

    async def repeat(person: Person) -> int:
        wish = json.dumps({"email": person.email, "password": PASSWORD}).encode()
        log_in = message("POST", "/api/v1/auth/login", {}, wish)
        count = 0
        while time.monotonic() - began < seconds:
            answer = await asking.ask(log_in)
            if answer.status != 200:
                raise RuntimeError(f"status {answer.status}")
            count += 1
        return count

    async with crowd(subject.environment["gateway"], len(people)) as asking:
        return sum(await asyncio.gather(*map(repeat, people))) / (time.monotonic() - began)


async def _hashed(seconds: float) -> float:
    hasher, parameters = Hasher(_THREADS, _THREADS), fresh_parameters()
    began = time.monotonic()

    async def repeat() -> int:
        count = 0
        while time.monotonic() - began < seconds:
            await hasher.hash(PASSWORD, parameters)
            count += 1
        return count

    return sum(await asyncio.gather(*(repeat() for _ in range(_THREADS)))) / (time.monotonic() - began)
