"""What was tried, what held and what broke."""

from dataclasses import asdict, dataclass, field
from enum import IntEnum
from statistics import median
from typing import Any

FAMILIES = {
    "set_up": "make one of everything, in both tenants",
    "foreign_path": "identifiers of B in the path, every method",
    "foreign_body": "identifiers of B in the body",
    "foreign_query": "identifiers of B in the query",
    "named_tenant": "tenant B named in path, header, query and body",
    "search": "lists, filters and searches for B's names and identifiers",
    "cursors": "cursors of B used by A",
    "idempotency": "idempotency keys of B used by A",
    "tokens": "forged, tampered and missing tokens",
    "headers": "conflicting, duplicated and internal headers",
    "paths": "paths that can be read in two ways",
    "overrides": "method overrides",
    "public": "operations without a token",
    "operators": "operations of the platform's operators",
    "controls": "the owner does succeed (positive control)",
    "unchanged": "B still has all it had, unchanged",
    "audit_own": "A's audit log shows its attempts, in full",
    "audit_victim": "B's audit log shows them, anonymously",
    "clean_up": "remove what was made",
}
"""In the order of the report."""


class Outcome(IntEnum):
    """Exit status."""

    HELD = 0
    BROKE = 1
    NOT_DONE = 2


@dataclass(frozen=True)
class Broken:
    """One attempt that isolation did not withstand."""

    family: str
    operation: str
    what: str
    why: list[str]
    curl: str
    answered: str


@dataclass
class Family:
    tried: int = 0
    broke: int = 0

    @property
    def held(self) -> int:
        return self.tried - self.broke


@dataclass
class Account:
    """What was done with one operation. `succeeded`: the owner's own call worked (the positive control).
    `untried`: what of B's could not be named."""

    operation: str
    request: str
    attempts: int = 0
    succeeded: bool = False
    untried: list[str] = field(default_factory=list[str])
    reason: str = ""
    not_tried: bool = False


@dataclass
class Report:
    """The result; `as_json` is documented in docs/security.md."""

    url: str
    plan: str
    families: dict[str, Family] = field(default_factory=dict[str, Family])
    broken: list[Broken] = field(default_factory=list[Broken])
    accounts: dict[str, Account] = field(default_factory=dict[str, Account])
    tenants: dict[str, str] = field(default_factory=dict[str, str])
    remains: list[str] = field(default_factory=list[str])
    answers_searched: int = 0
    requests: int = 0
    seconds: float = 0.0
    foreign_seconds: list[float] = field(default_factory=list[float])
    never_seconds: list[float] = field(default_factory=list[float])
    stopped: str = ""

    @property
    def not_tried(self) -> list[Account]:
        return [account for account in self.accounts.values() if account.not_tried]

    @property
    def outcome(self) -> Outcome:
        if self.broken:
            return Outcome.BROKE
        return Outcome.NOT_DONE if self.stopped or self.not_tried else Outcome.HELD

    def count(self, family: str, broken: Broken | None) -> None:
        tally = self.families.setdefault(family, Family())
        tally.tried += 1
        if broken is not None:
            tally.broke += 1
            self.broken.append(broken)

    def as_json(self) -> dict[str, Any]:
        named = [name for name in FAMILIES if name in self.families]
        return {
            "url": self.url,
            "outcome": self.outcome.name.lower(),
            "exit_status": int(self.outcome),
            "stopped": self.stopped or None,
            "plan": self.plan,
            "tenants": self.tenants,
            "requests": self.requests,
            "answers_searched": self.answers_searched,
            "seconds": round(self.seconds, 1),
            "families": {name: _tally(self.families[name], FAMILIES[name]) for name in named},
            "broken": [asdict(each) for each in self.broken],
            "operations": [asdict(account) for account in self.accounts.values()],
            "median_milliseconds": {
                "foreign": milliseconds(self.foreign_seconds),
                "never_existing": milliseconds(self.never_seconds),
            },
            "remains": self.remains,
        }


def _tally(family: Family, title: str) -> dict[str, Any]:
    return {"title": title, "tried": family.tried, "held": family.held, "broke": family.broke}


def milliseconds(seconds: list[float]) -> float | None:
    return round(median(seconds) * 1000, 2) if seconds else None
