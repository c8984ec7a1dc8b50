"""The page of what is proven names every mutation, and none that is not there."""

import re
from pathlib import Path

from tests.isolation.mutations.code import CODE_MUTATIONS
from tests.isolation.mutations.schema import SCHEMA_MUTATIONS

PAGE = (Path(__file__).parents[2] / "docs/security.md").read_text(encoding="utf-8")


def test_the_table_has_every_mutation_in_order() -> None:
    told = re.findall(r"^\| (schema|code) \| (.+?) \| `test_", PAGE, re.MULTILINE)
    schema = [("schema", mutation.name) for mutation in SCHEMA_MUTATIONS]
    code = [("code", mutation.name) for mutation in CODE_MUTATIONS]
    assert sorted(set(told) ^ {*schema, *code}) == [], '`make mutate-isolation ARGS="--table FILE"`'
    assert told == [*schema, *code]


def test_the_counts_are_those_of_the_table() -> None:
    schema, code = len(SCHEMA_MUTATIONS), len(CODE_MUTATIONS)
    assert f"{schema + code} mutations, {schema} of schema and {code} of code" in PAGE
