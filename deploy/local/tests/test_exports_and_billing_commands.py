"""`penguinmails exports …` and `penguinmails billing …`: what people read of the answers of tenants."""

import json
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from penguinmails import billing_command, exports_command
from penguinmails.billing_command import billing_app
from penguinmails.exports_command import exports_app

TENANT, JOB = "tenant_01jcp0e84xf9e8wske7w6smprh", "job_01jcp0e84xf9e8wske7w6smprh"
EXPORT = {
    "service": "tenants",
    "tenant_id": TENANT,
    "job_id": JOB,
    "status": "failed",
    "requested_at": "2026-11-01T00:00:00.000Z",
    "expires_at": None,
    "written": ["auth"],
    "missing": ["audit", "campaigns"],
    "error": "parts_missing",
}
BILLING = {
    "service": "tenants",
    "tenant_id": TENANT,
    "plan": "starter",
    "status": "pending",
    "customer_id": None,
    "errand": "waiting",
    "problem": "card_[declined]",
}
Told = Callable[..., Result]


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Told:
    """The result of a command when the tenants service, asked in these words, answers so."""

    def run(
        module: ModuleType, app: Callable[..., typer.Typer], words: list[str], asked: str, *answers: Any
    ) -> Result:
        def ask(_: object, services: list[str], *said: str) -> list[dict[str, Any]]:
            assert (services, " ".join(said[:-2]), said[-2]) == (["tenants"], asked, "--by")
            return list(answers)

        monkeypatch.setattr(module, "ask", ask)
        monkeypatch.setattr(module.console, "_width", 200)
        return CliRunner().invoke(app(lambda: None), words)

    return run


def test_exports_are_listed_with_what_is_missing(told: Told) -> None:
    asked = f"exports list --status failed --tenant {TENANT}"
    words = ["list", "--status", "failed", "--tenant", TENANT]
    output = told(exports_command, exports_app, words, asked, EXPORT).output
    for cell in (TENANT, JOB, "failed", "audit, campaigns", "parts_missing"):
        assert cell in output
    as_json = told(exports_command, exports_app, ["list", "--json"], "exports list", EXPORT).output
    assert json.loads(as_json) == [EXPORT]
    shown = told(exports_command, exports_app, ["show", TENANT, JOB], f"exports show {TENANT} {JOB}", EXPORT)
    assert json.loads(shown.output) == EXPORT


def test_billing_is_listed_with_what_stands_in_its_way(told: Told) -> None:
    words, asked = ["list", "--stuck", "--status", "pending"], "billing list --status pending --stuck"
    output = told(billing_command, billing_app, words, asked, BILLING).output
    for cell in (TENANT, "starter", "pending", "waiting", "card_[declined]"):
        assert cell in output
    as_json = told(billing_command, billing_app, ["list", "--json"], "billing list", BILLING).output
    assert json.loads(as_json) == [BILLING]
    shown = told(billing_command, billing_app, ["show", TENANT], f"billing show {TENANT}", BILLING)
    assert json.loads(shown.output) == BILLING
