"""Every operation of the document with another tenant's real identifiers, in every place that takes one."""

from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest
from schemathesis.core.transport import Response
from schemathesis.generation.case import Case
from schemathesis.schemas import APIOperation

from common.ids import Kind
from tests.contract.company import Company
from tests.contract.document import (
    Json,
    Steps,
    closed,
    ids_in,
    kind_of,
    load,
    operations,
    operators_only,
    read,
    replaced,
)
from tests.contract.feeding import SPENDING, feed
from tests.contract.stage import Stage
from tests.isolation.resources import never

DOCUMENT = closed(read())
OPERATIONS = [
    one for one in operations(load(DOCUMENT)) if one.definition.raw["security"] and not operators_only(one)
]
UNIQUE: dict[str, Callable[[], str]] = {
    "email": lambda: f"{uuid4().hex}@example.com",
    "domain": lambda: f"{uuid4().hex}.example.com",
    "name": lambda: uuid4().hex,
    "slug": lambda: f"s{uuid4().hex}",
}
"""Fields whose example is taken after the first time."""


@dataclass(frozen=True)
class Slot:
    """A place in an operation's requests that takes an identifier."""

    operation: APIOperation
    place: str
    at: Steps
    kind: Kind

    def __str__(self) -> str:
        return f"{self.operation.label} {self.place} {'/'.join(map(str, self.at))}"

    def fill(self, case: Case, value: str) -> None:
        setattr(case, self.place, replaced(getattr(case, self.place), self.at, value))


def example_of(operation: APIOperation) -> Json:
    """The document's example of the operation's body."""
    content = operation.definition.raw.get("requestBody", {"content": {"": {}}})["content"]
    found: Json = deepcopy(next(iter(content.values())).get("example", {}))
    return found


def slots_of(operation: APIOperation) -> Iterator[Slot]:
    for place in ("path_parameters", "query"):
        for item in getattr(operation, place):
            kind = kind_of(item.definition["schema"])
            if kind is not None:
                yield Slot(operation, place, (item.name,), kind)
    for at, kind in ids_in(example_of(operation)):
        yield Slot(operation, "body", at, kind)


SLOTS = [slot for operation in OPERATIONS for slot in slots_of(operation)]


def request(operation: APIOperation, company: Company) -> Case:
    """The document's example, naming what is the company's."""
    body = {
        name: UNIQUE[name]() if name in UNIQUE else value for name, value in example_of(operation).items()
    }
    case = operation.Case(
        headers={"If-Match": "*"} if "If-Match" in operation.headers else {},
        query={slot.at[0]: "" for slot in slots_of(operation) if slot.place == "query"},
        **({"body": body, "media_type": "application/json"} if body else {}),
    )
    feed(case, company)
    return case


@pytest.fixture(scope="module")
def mine(new_company: Callable[[], Company]) -> Company:
    return new_company()


@pytest.fixture(scope="module")
def theirs(new_company: Callable[[], Company]) -> Company:
    return new_company()


def exchange(stage: Stage, case: Case, company: Company) -> Response:
    """The answer, which must be as documented."""
    response = stage.send(case, company)
    stage.validate(case, response, company)
    return response


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda one: one.label)
def test_the_documents_example_works_for_the_owner(
    stage: Stage, theirs: Company, operation: APIOperation
) -> None:
    """The positive control: without it the refusals below prove nothing."""
    response = exchange(stage, request(operation, theirs), theirs)
    assert 200 <= response.status_code < 300, response.text
    if operation.label in SPENDING:
        theirs.sign_up()


@pytest.mark.parametrize("slot", SLOTS, ids=str)
def test_anothers_id_is_like_one_that_never_existed(
    stage: Stage, mine: Company, theirs: Company, slot: Slot
) -> None:
    answers: list[Any] = []
    for value in (theirs.id_of(slot.kind), never(slot.kind)):
        case = request(slot.operation, mine)
        slot.fill(case, value)
        answers.append(exchange(stage, case, mine))
    expected = (403, "cross_tenant_forbidden") if slot.kind is Kind.TENANT else (404, "not_found")
    for answer in answers:
        assert (answer.status_code, answer.json()["code"]) == expected, answer.text
    seen = [{**answer.json(), "instance": "", "trace_id": ""} for answer in answers]
    assert seen[0] == seen[1]
    assert not [mark for mark in theirs.marks if mark in str(seen[0])]


def test_no_place_for_an_id_is_left_out() -> None:
    """The examples that the places are read from have every field that names a resource."""
    for operation in OPERATIONS:
        for body in operation.definition.raw.get("requestBody", {}).get("content", {}).values():
            told = set(_fields_with_ids(body["schema"]))
            assert told == {_last_name(at) for at, _ in ids_in(body["example"])}, operation.label


def _fields_with_ids(schema: Json, name: str = "") -> Iterator[str]:
    if "$ref" in schema:
        schema = DOCUMENT["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    if kind_of(schema) is not None:
        yield name
        return
    for field, inner in schema.get("properties", {}).items():
        yield from _fields_with_ids(inner, field)
    for inner in (*schema.get("anyOf", []), *([schema["items"]] if "items" in schema else [])):
        yield from _fields_with_ids(inner, name)


def _last_name(at: Steps) -> str:
    return next(step for step in reversed(at) if isinstance(step, str))
