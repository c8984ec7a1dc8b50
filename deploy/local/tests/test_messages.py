"""What the command says to somebody who has typed something wrong, or knows it only from the README."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from penguinmails import cli, events_command, services, terminal, trace
from penguinmails.home import Home

EVENT = "evt_01jcp0e84xf9e8wske7w6smprh"


@pytest.fixture(autouse=True)
def nobody_is_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(cli, "default_home", lambda: Home(tmp_path))


@pytest.mark.parametrize(
    ("words", "what"),
    [
        ("events dlq show foo", "foo is no event's id"),
        ("events dlq retry foo", "foo is no event's id"),
        ("events dlq drop tenant_x --reason x", "tenant_x is no event's id"),
        ("provisioning show foo", "foo is no tenant's id"),
        ("deletion show foo", "foo is no tenant's id"),
        ("tenants limits foo --max-users 3", "foo is no tenant's id"),
    ],
)
def test_what_is_no_id_is_told_once_of_the_command_that_was_typed(words: str, what: str) -> None:
    shown = CliRunner().invoke(cli.app, words.split(), prog_name="penguinmails")
    assert (shown.exit_code, shown.output.count(what)) == (2, 1), shown.output
    assert f"Usage: penguinmails {words.split(maxsplit=1)[0]}" in shown.output


def test_a_service_that_refuses_words_calls_itself_by_the_name_that_was_typed(
    capfd: pytest.CaptureFixture[str],
) -> None:
    stack: Any = SimpleNamespace(config=SimpleNamespace(service_environment=lambda _: {}))
    with pytest.raises(typer.Exit):
        services.ask(stack, ["auth"], "keys", "fly")
    assert "Usage: penguinmails keys" in capfd.readouterr().err


def test_a_letter_that_somebody_else_has_retried_is_gone_and_nothing_bad(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def answer(*_: object) -> list[dict[str, Any]]:
        return [{"service": "auth", "event_id": EVENT, "result": "gone", "error": None, "followed": 0}]

    monkeypatch.setattr(events_command, "ask", answer)
    monkeypatch.setattr(cli.Stack, "is_running", lambda _: True)
    shown = CliRunner().invoke(cli.app, ["events", "dlq", "retry", EVENT])
    assert (shown.exit_code, "already gone" in shown.output) == (0, True), shown.output


def test_before_the_first_mail_there_is_a_sentence() -> None:
    assert CliRunner().invoke(cli.app, ["mail", "list"]).output == "No mails yet.\n"


def test_the_newest_traces_are_those_that_somebody_may_look_for(tmp_path: Path) -> None:
    names = ["POST /api/v1/campaigns", *["GET /.well-known/jwks.json"] * 9, "GET /health/serving"]
    spans = [
        {
            "traceId": f"{number:032x}",
            "spanId": "a",
            "name": name,
            "startTimeUnixNano": 1,
            "endTimeUnixNano": 2,
        }
        for number, name in enumerate(names)
    ]
    group = {"resource": {}, "scopeSpans": [{"spans": spans}]}
    file = tmp_path / "traces.jsonl"
    file.write_text(json.dumps({"resourceSpans": [group]}, separators=(",", ":")))
    with pytest.raises(trace.NoSuchTrace) as caught:
        trace.find_one(file, "ffff", patience=0)
    assert [told.partition(" ? ")[2] for told in caught.value.others] == ["POST /api/v1/campaigns"]


def test_commands_are_shown_as_they_can_be_typed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "a folder" / "penguinmails"
    program.parent.mkdir()
    program.touch()
    monkeypatch.setitem(terminal._PLACES, "penguinmails", program.parent)
    monkeypatch.setattr(shutil, "which", lambda _: None)
    monkeypatch.chdir(tmp_path)
    hint = "`penguinmails down`, /x/penguinmails up, penguinmails.dev"
    assert terminal.typed(hint) == "`'a folder/penguinmails' down`, /x/penguinmails up, penguinmails.dev"
    monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}")
    assert terminal.typed(hint) == hint


def test_what_the_disk_refuses_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full() -> None:
        raise OSError(28, "No space left on device", "/backups")

    monkeypatch.setattr(cli, "app", full)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 1
    assert "No space left on device: '/backups'" in capsys.readouterr().out
