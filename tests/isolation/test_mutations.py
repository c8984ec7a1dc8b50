"""The mutations of `make mutate-isolation` still fit what they break, and its verdicts mean what they say."""

import pytest

from tests.isolation.mutations.code import CODE_MUTATIONS
from tests.isolation.mutations.mutation import ROOT, CodeMutation, Edit, Stale
from tests.isolation.mutations.report import summary
from tests.isolation.mutations.runner import Verdict
from tests.isolation.mutations.schema import SCHEMA_MUTATIONS
from tests.isolation.mutations.trial import Inconclusive, first_red

ALL = (*SCHEMA_MUTATIONS, *CODE_MUTATIONS)


@pytest.mark.parametrize("mutation", CODE_MUTATIONS, ids=lambda mutation: mutation.name)
def test_mutation_still_fits_the_code(mutation: CodeMutation) -> None:
    texts = {edit.path: (ROOT / edit.path).read_text(encoding="utf-8") for edit in mutation.edits}
    for edit in mutation.edits:
        texts[edit.path] = edit.apply(texts[edit.path])
    for path, text in texts.items():
        compile(text, path, "exec")


def test_there_are_many_and_each_has_a_name_of_its_own() -> None:
    assert len(SCHEMA_MUTATIONS) >= 15
    assert len(CODE_MUTATIONS) >= 15
    assert len({mutation.name for mutation in ALL}) == len(ALL)


def test_suspects_are_files_and_tests_of_the_suite() -> None:
    for name in {name for mutation in ALL for name in mutation.suspects}:
        file, _, test = name.partition("::")
        text = (ROOT / "tests/isolation" / file).read_text(encoding="utf-8")
        assert not test or f"def {test}(" in text, name


@pytest.mark.parametrize("text", ["", "twice twice"])
def test_what_is_not_there_exactly_once_is_not_replaced(text: str) -> None:
    with pytest.raises(Stale, match=r"file\.py"):
        Edit("file.py", "twice", "once").apply(text)


def test_first_red_test_is_named() -> None:
    output = "FAILED tests/isolation/test_a.py::test_b[x-y] - AssertionError: no - really\n1 failed"
    assert first_red(1, output) == "tests/isolation/test_a.py::test_b[x-y]"
    assert first_red(1, "ERROR tests/isolation/test_a.py::test_c - ValueError") is not None
    assert first_red(0, "2 passed") is None


@pytest.mark.parametrize(
    ("code", "output"),
    [
        (1, "ERROR tests/isolation/test_a.py - ImportError"),
        (2, "Interrupted"),
        (3, "internal error"),
        (-9, ""),
    ],
)
def test_a_run_that_broke_is_no_kill(code: int, output: str) -> None:
    with pytest.raises(Inconclusive):
        first_red(code, output)


def test_survivors_are_named_in_the_summary() -> None:
    one, two = ALL[:2]
    text = summary([Verdict(one, killer="tests/isolation/test_a.py::test_b"), Verdict(two)])
    assert "1 of 2 mutations = 50 %" in text
    assert text.endswith(f"Not killed: {two.name}")
