"""Sends generated requests through the gateway as one of two tenants, and keeps account of the answers."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import requests
from schemathesis.checks import CheckContext, CheckFunction
from schemathesis.core.transport import Response
from schemathesis.generation.case import Case
from schemathesis.specs.openapi.checks import (
    allow_header_conformance,
    ignored_auth,
    positive_data_acceptance,
    unsupported_method,
)

from tests.contract.company import Company
from tests.contract.document import operators_only
from tests.contract.feeding import REFRESHING, SPENDING, feed
from tests.contract.operator import Operator

TOO_MANY = 429


@dataclass
class Record:
    """Which operation gave which answers, in the whole session."""

    statuses: defaultdict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    guarded: set[str] = field(default_factory=set)
    """Operations that were seen to refuse no token and a wrong one."""
    requests: int = 0

    def reached(self, label: str) -> bool:
        return any(200 <= status < 300 for status in self.statuses[label])


@dataclass
class Stage:
    """The gateway, and two tenants that take turns."""

    gateway: str
    session: requests.Session
    companies: tuple[Company, Company]
    operator: Operator
    record: Record

    def exchange(self, case: Case) -> Response:
        """Send a generated request as the next tenant and check all there is to check."""
        turn = self.record.requests % 2
        company, other = self.companies[turn], self.companies[1 - turn]
        if operators_only(case.operation):
            company = self.operator.subject
        company.stay_signed_in()
        self.operator.stay_signed_in()
        feed(case, company, self.operator)
        label = case.operation.label
        response = self.send(case, company)
        self.record.statuses[label].add(response.status_code)
        if response.status_code < 300:
            _follow(label, company, response)
        marks = frozenset(other.marks)

        def nothing_of_the_other(ctx: CheckContext, response: Response, case: Case) -> None:
            found = [mark for mark in marks if mark in response.text]
            assert not found, f"the answer names what is another tenant's: {found}"

        apart = [] if operators_only(case.operation) else [nothing_of_the_other]
        self.validate(case, response, company, [*apart, accepts_valid_data])
        return response

    def send(self, case: Case, company: Company) -> Response:
        """The answer to a request as it is."""
        response = case.call(
            base_url=self.gateway, session=self.session, headers=self._headers(case, company)
        )
        self.record.requests += 1
        return response

    def validate(
        self, case: Case, response: Response, company: Company, further: Sequence[CheckFunction] = ()
    ) -> None:
        """Compare an answer with the document; after a first success, try the operation without the token."""
        label = case.operation.label
        case.validate_response(
            response,
            headers=self._headers(case, company),
            additional_checks=list(further),
            excluded_checks=self._excluded(case, response),
            transport_kwargs={"base_url": self.gateway, "headers": self._headers(case, company)},
        )
        if response.status_code < 300:
            self.record.guarded.add(label)

    def _headers(self, case: Case, company: Company) -> dict[str, str]:
        if operators_only(case.operation):
            return dict(self.operator.headers)
        return dict(company.headers) if _is_secured(case) else {}

    def _excluded(self, case: Case, response: Response) -> list[CheckFunction]:
        """Checks that say nothing here.

        Where no token is needed, the gateway wants one for other methods; who tries secrets so often is
        turned away.
        """
        label = case.operation.label
        return [
            *([ignored_auth] if label in self.record.guarded else []),
            *([allow_header_conformance, unsupported_method] if label in SHADOWED else []),
            *([] if _is_secured(case) else [unsupported_method]),
            *([positive_data_acceptance] if response.status_code == TOO_MANY else []),
        ]


def _follow(label: str, company: Company, response: Response) -> None:
    """What a client does after such a success."""
    if label in SPENDING:
        company.sign_up()
    elif label == REFRESHING:
        company.take_tokens(response.json())


SHADOWED = {
    "POST /api/v1/contacts/upsert": "GET, PATCH and DELETE of this path are those of /contacts/{contact_id}"
}
"""Operations whose path is also that of others, and of which."""


def _is_secured(case: Case) -> bool:
    return bool(case.operation.definition.raw["security"])


UNSAYABLE = {
    "/timezone": "the names of time zones change several times a year",
    "/value": "what a feature flag may be depends on the flag in the path",
}
"""Fields with rules that a JSON schema cannot express, and why."""


def accepts_valid_data(ctx: CheckContext, response: Response, case: Case) -> None:
    """What the document allows is not refused as malformed."""
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return
    assert response.status_code != 401 or not _is_secured(case), "the token should work"
    if response.status_code != 422:
        return
    document = response.json()
    if document["code"] != "validation_failed":
        return
    refused = {error["pointer"] for error in document["errors"]} - UNSAYABLE.keys()
    assert not refused, f"the document allows it: {document['errors']}"
