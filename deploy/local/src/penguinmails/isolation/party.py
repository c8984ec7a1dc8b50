"""A throw-away tenant: its owner, its words, and what it has."""

import json
import secrets
import time
from dataclasses import dataclass, field
from uuid import uuid4

from penguinmails.isolation import typeids
from penguinmails.isolation.document import Operation
from penguinmails.isolation.exchange import Answer, CannotCheck, Json, Request, Wire

SIGN_UP = "/api/v1/tenants"
REFRESH = "/api/v1/auth/refresh"
DOMAIN = "isolation-check.example"
"""Nobody can have an address there (RFC 2606)."""


@dataclass
class Party:
    """The owner of one of the two tenants.

    `mark`: a random word in every name the party gives, which nobody else ever says.
    `bait`: one that others may search for.
    """

    label: str
    wire: Wire
    mark: str = field(default_factory=lambda: secrets.token_hex(10))
    bait: str = field(default_factory=lambda: f"bait{secrets.token_hex(5)}")
    ids: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    born_with: frozenset[str] = frozenset()
    tenant_id: str = ""
    user_id: str = ""
    company_name: str = ""
    token: str = ""
    refresh_token: str = ""
    renew_at: float = float("inf")
    numbers: int = 0

    def name(self) -> str:
        self.numbers += 1
        return f"{self.bait} {self.mark} {self.numbers}"

    def email(self) -> str:
        self.numbers += 1
        return f"{self.bait}.{self.mark}.{self.numbers}@{DOMAIN}"

    def hostname(self) -> str:
        self.numbers += 1
        return f"{self.bait}-{self.mark}-{self.numbers}.{DOMAIN}"

    @property
    def owner_email(self) -> str:
        return f"{self.bait}@{DOMAIN}"

    def first(self, kind: str) -> str | None:
        return next(iter(self.ids.get(kind, ())), None)

    def latest(self, kind: str) -> str | None:
        """For bodies: what was there from the start, so that all is in one workspace; else the newest."""
        return self.first(kind) if kind in self.born_with else next(reversed(self.ids.get(kind, [])), None)

    @property
    def all_ids(self) -> frozenset[str]:
        return frozenset(value for values in self.ids.values() for value in values)

    def path_ids(self, operation: Operation) -> dict[str, str] | None:
        """Identifiers of the party's own for the path, or None when it lacks one."""
        own = {name: self.first(kind) if kind else None for name, kind in operation.path_ids.items()}
        known = {name: value for name, value in own.items() if value is not None}
        return known if len(known) == len(own) else None

    def learn(self, text: str, others: frozenset[str] = frozenset()) -> None:
        """Remember the identifiers in an answer about one's own resources, except `others`."""
        for kind, value in typeids.find(text):
            if value not in others and value not in self.ids.setdefault(kind, []):
                self.ids[kind].append(value)

    def ask(self, request: Request, patient: bool = True) -> Answer:
        if time.monotonic() > self.renew_at:
            self._renew()
        return self.wire.send(request, self.token, patient)

    def sign_up(self, plan: str) -> None:
        """Become a tenant.

        Raises:
            CannotCheck: the installation refuses.
        """
        self.company_name = self.name()
        body = {
            "company_name": self.company_name,
            "owner_email": self.owner_email,
            "owner_name": self.name(),
            "plan": plan,
        }
        request = Request("POST", SIGN_UP, (("Idempotency-Key", str(uuid4())),), body, ("", ""))
        answer = self.wire.send(request, "")
        while answer.status == 202:
            self.wire.pause(answer)
            answer = self.wire.send(request, "")
        made = answer.fields
        if answer.status != 201 or not made.get("access_token"):
            raise CannotCheck(f"signing up a tenant was refused: {answer.told()}")
        self.learn(json.dumps({name: made[name] for name in made if "token" not in name}))
        self.born_with = frozenset(self.ids)
        self.tenant_id, self.user_id = made["tenant_id"], made["owner_user_id"]
        self._take_tokens(made)

    def _take_tokens(self, answer: Json) -> None:
        self.token = answer["access_token"]
        self.refresh_token = answer.get("refresh_token") or ""
        if self.refresh_token:
            self.renew_at = time.monotonic() + (answer.get("expires_in") or 900) / 2

    def _renew(self) -> None:
        body = {"refresh_token": self.refresh_token}
        answer = self.wire.send(Request("POST", REFRESH, (), body, ("", "")), "")
        if not answer.success:
            raise CannotCheck(f"the token of tenant {self.label} could not be renewed: {answer.told()}")
        self._take_tokens(answer.fields)
