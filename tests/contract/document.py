"""The merged OpenAPI document as Schemathesis reads it, and where it names resources."""

import json
import os
import re
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import schemathesis
from schemathesis.config import SchemathesisConfig
from schemathesis.schemas import APIOperation, BaseSchema

from common.ids import Kind

Json = dict[str, Any]
Steps = tuple[str | int, ...]

PATH = Path(__file__).parents[2] / "docs" / "openapi.json"
SEED = int(os.environ.get("CONTRACT_SEED", "1"))
EXAMPLES = int(os.environ.get("CONTRACT_EXAMPLES", "2"))
"""Generated requests per operation, beside the document's examples and Schemathesis' own boundary cases."""
THOROUGH = EXAMPLES > 10
"""Whether every boundary of every field is tried."""

REFUSALS_OF_VALID_DATA = ["2xx", "401", "403", "404", "409", "410", "412", "422", "428"]
"""What may come of a request that the schema allows; `stage.accepts_valid_data` looks into a 422."""
REFUSALS_OF_WRONG_DATA = ["400", "401", "403", "404", "405", "413", "422"]

_ID = re.compile(r"\^?([a-z]+)_")
_KINDS = {kind.value: kind for kind in Kind}


def read() -> Json:
    """The document as it is published."""
    document: Json = json.loads(PATH.read_text(encoding="utf-8"))
    return document


def closed(document: Json) -> Json:
    """The same, with answers that have no field but those declared.

    Clients must ignore fields they do not know, so the document leaves answers open; the services may not
    rely on it.
    """
    closed = deepcopy(document)
    for schema in closed["components"]["schemas"].values():
        if "properties" in schema:
            schema.setdefault("additionalProperties", False)
    return closed


def load(document: Json) -> BaseSchema:
    """Schemathesis' view of a document, with this project's settings."""
    schema = schemathesis.openapi.from_dict(document, config=SchemathesisConfig(seed=SEED))
    schema.config.generation.update(with_security_parameters=False, exclude_header_characters="\r\n\x00")
    schema.config.phases.coverage.enabled = THOROUGH
    schema.config.phases.coverage.unexpected_methods = {"get", "put", "post", "patch", "delete", "options"}
    schema.config.checks.positive_data_acceptance.expected_statuses = REFUSALS_OF_VALID_DATA
    schema.config.checks.negative_data_rejection.expected_statuses = REFUSALS_OF_WRONG_DATA
    return schema


def operations(schema: BaseSchema) -> Iterator[APIOperation]:
    for result in schema.get_all_operations():
        yield result.ok()


def operators_only(operation: APIOperation) -> bool:
    """Whether it takes the token of an operator, and none of a tenant's."""
    return any("operatorToken" in one for one in operation.definition.raw["security"])


def kind_of(schema: Json) -> Kind | None:
    """The kind of resource that values of a schema name."""
    for choice in schema.get("anyOf", [schema]):
        found = _ID.match(choice.get("pattern", ""))
        if found is not None and found[1] in _KINDS:
            return _KINDS[found[1]]
    return None


def kind_named(value: Any) -> Kind | None:
    """The kind of resource that an identifier names."""
    found = _ID.match(value) if isinstance(value, str) else None
    return _KINDS.get(found[1]) if found is not None and len(value) == len(found[0]) + 26 else None


def ids_in(value: Any, at: Steps = ()) -> Iterator[tuple[Steps, Kind]]:
    """Where a JSON value names resources, and of which kind."""
    if isinstance(value, dict | list):
        for step, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from ids_in(item, (*at, step))
    elif (kind := kind_named(value)) is not None:
        yield at, kind


def replaced(value: Any, at: Steps, new: Any) -> Any:
    """A copy of a JSON value with `new` at one place."""
    if not at:
        return new
    copied = value.copy()
    copied[at[0]] = replaced(value[at[0]], at[1:], new)
    return copied
