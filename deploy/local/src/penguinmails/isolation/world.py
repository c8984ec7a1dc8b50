"""One check under way: two tenants, the operations, and the record of each attempt."""

from collections.abc import Callable
from dataclasses import dataclass, field

from penguinmails.isolation import bodies, compare, leaks, typeids
from penguinmails.isolation.bodies import CannotFill
from penguinmails.isolation.document import Operation
from penguinmails.isolation.exchange import Answer, Json, Request
from penguinmails.isolation.findings import Broken, Report
from penguinmails.isolation.party import Party

Judge = Callable[[Answer], list[str]]
ANY_STATE = ("If-Match", "*")


@dataclass(frozen=True)
class Attempt:
    """An attempt that the audit logs must show.

    `targets`: what of B's it named, any of which may be what the log names. `explicit`: it named tenant B
    beside A's token (403), which the log shows whatever else was asked for.
    """

    trace_id: str
    targets: frozenset[str]
    explicit: bool
    request: Request
    operation: Operation


@dataclass
class World:
    """A attacks B."""

    operations: list[Operation]
    attacker: Party
    victim: Party
    report: Report
    progress: Callable[[str], None]
    published: frozenset[str] = frozenset()
    """Identifiers in the document's examples: nobody's."""
    keys: dict[str, str] = field(default_factory=dict[str, str])
    """Of B, by operation."""
    attempts: list[Attempt] = field(default_factory=list[Attempt])

    @property
    def open_to_tenants(self) -> list[Operation]:
        return [operation for operation in self.operations if not operation.operators]

    @property
    def private(self) -> list[Operation]:
        return [operation for operation in self.open_to_tenants if not operation.public]

    @property
    def reading(self) -> list[Operation]:
        return [operation for operation in self.private if operation.method == "GET"]

    def attempt(
        self,
        family: str,
        operation: Operation,
        request: Request,
        what: str,
        judge: Judge,
        patient: bool = True,
    ) -> Answer:
        """A sends the request; the answer is judged, and searched for anything of B's."""
        answer = self.attacker.ask(request, patient)
        self._record(family, operation, request, answer, what, judge(answer))
        return answer

    def pair(
        self,
        family: str,
        operation: Operation,
        ask: Callable[[str], Request],
        foreign: str,
        what: str,
        wanted: tuple[int, ...] = (),
    ) -> Answer:
        """Name an identifier of B's, and one that never existed: the answers must not differ."""
        nobodys = typeids.never(typeids.find(foreign)[0][0])
        never = self.attacker.ask(ask(nobodys))
        request = ask(foreign)
        answer = self.attacker.ask(request)
        self.report.foreign_seconds.append(answer.seconds)
        self.report.never_seconds.append(never.seconds)
        reasons = compare.differences(answer, never, (foreign, nobodys))
        if wanted and answer.status not in wanted:
            reasons.append(f"status {answer.status} where {' or '.join(map(str, wanted))} belongs")
        elif not wanted and answer.success:
            reasons.append(f"it succeeded with {answer.status}")
        self._record(family, operation, request, answer, f"{what}: {foreign}", reasons)
        if wanted and answer.status in (403, 404):
            named = frozenset(value for _, value in typeids.find(request.text)) & self.victim.all_ids
            trace = answer.header("x-trace-id")
            self.attempts.append(Attempt(trace, named, answer.status == 403, request, operation))
        return answer

    def control(self, family: str, party: Party, operation: Operation, request: Request) -> Answer:
        """The owner's own call, which must not be refused as a stranger's would be."""
        answer = party.ask(request)
        succeeded = answer.success or answer.status == 409
        account = self.report.accounts[operation.name]
        account.succeeded |= succeeded
        if not succeeded:
            account.reason = f"its owner {party.label} was answered {answer.told()}"
        if party is self.attacker:
            self._record(family, operation, request, answer, "as its owner", [], control=True)
        else:
            self.report.count(family, None)
        return answer

    def note(
        self,
        family: str,
        operation: str,
        request: Request,
        answer: Answer,
        what: str,
        why: list[str],
        who: str = "A",
    ) -> None:
        """Count one finding; broken when there are reasons."""
        if not why:
            self.report.count(family, None)
            return
        curl = request.curl(self.report.url, who)
        self.report.count(family, Broken(family, operation, what, why, curl, answer.told()))

    def untried(self, operation: Operation, what: str) -> None:
        """The operation takes something of which B has none."""
        self.report.accounts[operation.name].untried.append(what)

    def own_body(self, operation: Operation, party: Party) -> Json | None:
        """A body of the party's own, as far as one can be made."""
        try:
            return bodies.fill(operation, party)
        except CannotFill:
            return bodies.from_example(operation, party)

    def own_request(self, operation: Operation, party: Party) -> Request | None:
        """The operation on what is the party's own; None when it has no such thing."""
        ids = party.path_ids(operation)
        if ids is None:
            return None
        return self.request(operation, ids, self.own_body(operation, party))

    def request(self, operation: Operation, ids: dict[str, str], body: Json | None) -> Request:
        conditions = (ANY_STATE,) if "if-match" in operation.headers else ()
        return Request(operation.method, operation.fill(ids), conditions, body)

    def not_of(self, party: Party) -> frozenset[str]:
        """Identifiers that are not the party's, wherever it is shown them."""
        other = self.attacker if party is self.victim else self.victim
        return self.published | other.all_ids

    def nobodys(self, operation: Operation) -> dict[str, str]:
        """Identifiers for the path that are nobody's, except one's own tenant."""
        return {
            name: self.attacker.tenant_id if kind == typeids.TENANT else typeids.never(kind or "none")
            for name, kind in operation.path_ids.items()
        }

    def _record(
        self,
        family: str,
        operation: Operation,
        request: Request,
        answer: Answer,
        what: str,
        why: list[str],
        control: bool = False,
    ) -> None:
        self.report.answers_searched += 1
        self.report.accounts[operation.name].attempts += not control
        told: frozenset[str] = frozenset()
        if operation.audit_log:
            told = leaks.of_the_log(self.victim, self.attacker.wire.sent)
        reasons = [*why, *leaks.found(self.victim, answer, request, told)]
        if answer.status >= 500 and answer.status != 503:
            reasons.append(f"a server error, {answer.status}")
        self.note(family, operation.name, request, answer, what, reasons)


def refused(answer: Answer) -> list[str]:
    """The attempt must not have succeeded."""
    return [f"it succeeded with {answer.status}"] if answer.success else []


def harmless(answer: Answer) -> list[str]:
    """Any answer will do that shows nothing of B's."""
    return []
