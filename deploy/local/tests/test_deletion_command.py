"""`penguinmails deletion …`: what people read of what the tenants service answers."""

import json
from collections.abc import Callable
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from penguinmails import deletion_command
from penguinmails.deletion_command import deletion_app, stage

TENANT = "tenant_01jcp0e84xf9e8wske7w6smprh"
SCHEDULED = {
    "service": "tenants",
    "tenant_id": TENANT,
    "scheduled_at": "2026-11-01T00:00:00.000Z",
    "erase_at": "2026-12-01T00:00:00.000Z",
    "next_step_at": "2026-12-01T00:00:00.000Z",
    "attempts": 0,
    "problem": None,
    "reported": [],
    "missing": [],
    "certificate": None,
}
WAITING = {
    **SCHEDULED,
    "begun_at": "2026-12-01T00:00:01.000Z",
    "deleted_at": "2026-12-01T00:00:02.000Z",
    "problem": "reports_missing",
    "missing": ["audit", "campaigns"],
}
Told = Callable[..., Result]


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Told:
    """The result of a command when the tenants service answers so."""

    def run(words: list[str], *answers: dict[str, Any]) -> Result:
        def ask(_: object, services: list[str], *asked: str) -> list[dict[str, Any]]:
            assert (services, asked[0], asked[-2]) == (["tenants"], "deletion", "--by")
            return list(answers)

        monkeypatch.setattr(deletion_command, "ask", ask)
        monkeypatch.setattr(deletion_command.console, "_width", 200)
        app: typer.Typer = deletion_app(lambda: None)  # type: ignore[arg-type, return-value]
        return CliRunner().invoke(app, words)

    return run


@pytest.mark.parametrize(
    ("times", "words"),
    [
        ({}, "scheduled"),
        ({"begun_at": "…"}, "being deleted"),
        ({"begun_at": "…", "deleted_at": "…"}, "being erased"),
        ({"begun_at": "…", "deleted_at": "…", "erased_at": "…"}, "erased, its events run out"),
        ({"begun_at": "…", "deleted_at": "…", "erased_at": "…", "certified_at": "…"}, "certified"),
    ],
)
def test_the_furthest_step_is_named(times: dict[str, str], words: str) -> None:
    assert stage({**SCHEDULED, **times}) == words


def test_the_list_says_what_stands_in_the_way_and_whose_report_is_missing(told: Told) -> None:
    shown = told(["list", "--stuck"], WAITING)
    assert shown.exit_code == 0, shown.output
    line = shown.output.splitlines()[1]
    for part in (TENANT, "being erased", "reports_missing", "audit, campaigns"):
        assert part in line
    assert json.loads(told(["list", "--json"], SCHEDULED, WAITING).output) == [SCHEDULED, WAITING]


def test_a_certificate_is_shown_when_there_is_one(told: Told) -> None:
    early = told(["certificate", TENANT], WAITING)
    assert (early.exit_code, "being erased" in early.output) == (1, True)
    document = {"events": "long words " * 50}
    shown = told(["certificate", TENANT], {**WAITING, "certificate": document})
    assert (shown.exit_code, json.loads(shown.output)) == (0, document), "never wrapped"
