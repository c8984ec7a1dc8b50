"""What the documentation names is there: commands with their options, make's targets, files."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from penguinmails.cli import app

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "docs/adr").glob("*.md"))]
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
COMMANDS: Any = get_command(app)

a_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def in_code(page: Path) -> Iterator[str]:
    """What stands between backticks, and each line of what is set off as code."""
    parts = page.read_text(encoding="utf-8").split("```")
    for number, part in enumerate(parts):
        yield from part.splitlines() if number % 2 else re.findall(r"`([^`]+)`", part)


def misnamed(line: str) -> Iterator[str]:
    """What `penguinmails line` names and is not there; `a b | c` names `a b` and `a c`."""
    first, *others = re.sub(r"[\[\]]", " ", line).split("|")
    group = command = COMMANDS
    for word in re.findall(r"\S+", first):
        if not hasattr(command, "commands") or not re.fullmatch(r"[a-z-]+", word):
            break
        if word not in command.commands:
            yield word
            return
        group, command = command, command.commands[word]
    named = [command]
    for other in others:
        name = other.split()[0]
        if name not in group.commands:
            yield name
        else:
            named.append(group.commands[name])
    known = {option for one in named for parameter in one.params for option in parameter.opts}
    yield from set(re.findall(r"--[a-z-]+", line)) - known - {"--help"}


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("events dlq retry evt_…", []),
        ("tenants list | show | fly", ["fly"]),
        ("deletion list [--stuck] | run", []),
        ("billing reconcile --wet-run", ["--wet-run"]),
        ("events lags", ["lags"]),
    ],
)
def test_what_is_not_there_is_found(line: str, wrong: list[str]) -> None:
    assert list(misnamed(line)) == wrong


@a_page
def test_commands_are_there_with_their_options(page: Path) -> None:
    named = (re.match(r"(?:\.venv/bin/)?penguinmails (.+)", text, re.DOTALL) for text in in_code(page))
    assert {found[1]: wrong for found in named if found and (wrong := list(misnamed(found[1])))} == {}


@a_page
def test_targets_of_make_are_there(page: Path) -> None:
    named = (re.match(r"make ([a-z-]+)", text) for text in in_code(page))
    assert {found[1] for found in named if found} <= TARGETS


@a_page
def test_links_lead_to_files(page: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []
