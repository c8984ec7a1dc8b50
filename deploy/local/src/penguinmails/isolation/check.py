"""One check of an installation, from signing up to cleaning up."""

import json
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import httpx

from penguinmails.isolation import (
    ambiguous,
    audit,
    borrowing,
    clean_up,
    controls,
    document,
    foreign_ids,
    named_tenant,
    operators,
    resources,
    tokens,
    typeids,
)
from penguinmails.isolation.document import Operation
from penguinmails.isolation.exchange import CannotCheck, Request, Wire
from penguinmails.isolation.findings import Account, Report
from penguinmails.isolation.party import Party
from penguinmails.isolation.world import World

CLEANING_TIME = 120.0
_PATIENCE = 20.0
_NIL = "tenant_" + 26 * "0"

EXEMPT = {
    "createTenant": "signing up the two tenants exercises it",
    "logOut": "a second log-out of the same session cannot succeed; logOutEverywhere is tried in its place",
}
"""Operations that need no attempt, or no success of their owner, and why."""


@dataclass(frozen=True)
class Options:
    """`timeout`: seconds for all but the clean-up; `audit_wait`: seconds for attempts to be audited.
    `plan`: of the two tenants. `only`: operations to attack, with all of their paths; empty for every one."""

    url: str
    plan: str = "enterprise"
    timeout: float = 600.0
    audit_wait: float = 30.0
    only: frozenset[str] = frozenset()


def run(options: Options, progress: Callable[[str], None]) -> Report:
    """Never raises for what the installation does; see `Report.outcome`."""
    began = time.monotonic()
    report = Report(options.url, options.plan)
    with _parties(options, progress) as (attacker, victim):
        try:
            world = _world(attacker, victim, report, progress)
        except (CannotCheck, ValueError) as problem:
            report.stopped = (
                f"{options.url} has no usable OpenAPI document: {problem} (is it a gateway's address?)"
            )
        else:
            unknown = options.only - report.accounts.keys()
            if unknown:
                report.stopped = f"{options.url} has no operation {', '.join(sorted(unknown))}"
            else:
                _run_and_clean(world, options)
        report.requests = attacker.wire.count + victim.wire.count
    report.seconds = time.monotonic() - began
    return report


@contextmanager
def _parties(options: Options, progress: Callable[[str], None]) -> Generator[tuple[Party, Party]]:
    """Each with a connection of its own."""

    def party(label: str, http: httpx.Client) -> Party:
        made = Party(label, Wire(http, time.monotonic() + options.timeout, "", progress))
        made.wire.agent = f"penguinmails-isolation-check/{made.mark}"
        return made

    def client() -> httpx.Client:
        return httpx.Client(base_url=options.url, timeout=_PATIENCE, trust_env=False, follow_redirects=False)

    with client() as one, client() as other:
        yield party("A", one), party("B", other)


def _world(attacker: Party, victim: Party, report: Report, progress: Callable[[str], None]) -> World:
    progress("reading /openapi.json")
    answer = attacker.ask(Request("GET", "/openapi.json", credential=("", "")))
    if not answer.success or not answer.fields:
        raise CannotCheck(f"/openapi.json answers {answer.status or 'nothing'}")
    operations = document.read(answer.fields)
    published = frozenset({_NIL, *(value for _, value in typeids.find(json.dumps(answer.fields)))})
    report.accounts = {each.name: Account(each.name, str(each)) for each in operations}
    return World(operations, attacker, victim, report, progress, published)


def _run_and_clean(world: World, options: Options) -> None:
    try:
        _attack(world, options)
    except CannotCheck as problem:
        world.report.stopped = str(problem)
    finally:
        world.progress("cleaning up")
        for party in (world.attacker, world.victim):
            party.wire.deadline = time.monotonic() + CLEANING_TIME
        clean_up.run(world)
    _settle_accounts(world, _attacked(world, options))


def _attack(world: World, options: Options) -> None:
    for party in (world.victim, world.attacker):
        world.progress(f"signing up tenant {party.label}")
        party.sign_up(options.plan)
        world.report.tenants[party.label] = party.tenant_id
    before = _prepare(world)
    target = replace(world, operations=_attacked(world, options))
    for what, family in _families():
        world.progress(what)
        family(target)
    controls.unchanged(world, before)
    audit.run(world, options.audit_wait)
    named_tenant.run(target, last=True)


def _attacked(world: World, options: Options) -> list[Operation]:
    """Whole paths: a method is undocumented when no operation of its path has it."""
    paths = {each.path for each in world.operations if not options.only or each.name in options.only}
    return [each for each in world.operations if each.path in paths]


def _prepare(world: World) -> controls.Snapshot:
    world.progress("making one of everything, twice")
    resources.make_all(world)
    return controls.settled_snapshot(world)


def _families() -> list[tuple[str, Callable[[World], None]]]:
    return [
        ("B's identifiers in paths", foreign_ids.in_paths),
        ("B's identifiers with other methods", foreign_ids.with_other_methods),
        ("B's identifiers in bodies", foreign_ids.in_bodies),
        ("B's identifiers in queries", foreign_ids.in_queries),
        ("naming tenant B", named_tenant.run),
        ("searching for what is B's", borrowing.search),
        ("B's cursors", borrowing.cursors),
        ("B's idempotency keys", borrowing.idempotency_keys),
        ("forged tokens", tokens.run),
        ("conflicting headers", ambiguous.headers),
        ("ambiguous paths", ambiguous.paths),
        ("method overrides", ambiguous.overrides),
        ("operations without a token", named_tenant.in_public_bodies),
        ("public documents", named_tenant.public_reads),
        ("operators' operations", operators.run),
        ("what the owners can do", controls.act_as_owner),
        ("the owner's own keys", controls.replays_own_keys),
    ]


def _settle_accounts(world: World, attacked: list[Operation]) -> None:
    """An operation that nobody was refused, or nobody succeeded with, was not tried."""
    for operation in world.operations:
        account = world.report.accounts[operation.name]
        if operation not in attacked:
            account.reason = "not named by --only"
            continue
        ours = not (operation.public or operation.operators)
        enough = account.attempts > 0 and (account.succeeded or not ours)
        if account.untried:
            account.not_tried = True
            account.reason = f"B has nothing for {', '.join(account.untried)}"
        elif enough:
            account.reason = ""
        elif operation.name in EXEMPT:
            account.reason = EXEMPT[operation.name]
        else:
            account.not_tried = True
            account.reason = account.reason or "no request for it could be made"
