"""The recipe in docs/events.md is true: its blocks, put where it says, are all that an event needs."""

import importlib
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from common.bus.projections import PROJECTIONS
from common.contracts import envelope
from common.contracts.workspaces import WorkspaceArchived
from common.ids import Kind, to_text
from common.testing.harness import Harness
from penguinmails.event_reference import compatibility, pages

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / pages.guide.TEMPLATE).read_text(encoding="utf-8")
RECIPE = PAGE[PAGE.index("## Add an event") : PAGE.index("## All events")]
BLOCKS = dict(re.findall(r"```python\n# (\S+)\n(.*?)```", RECIPE, re.S))


def put_into(monkeypatch: pytest.MonkeyPatch, module: ModuleType, code: str, **known: Any) -> Any:
    """Run `code` as the end of `module`; what it defines last."""
    names = {**vars(module), **known}
    before = set(names)
    exec(compile(code, f"{module.__name__} (recipe)", "exec"), names)
    (made,) = names.keys() - before
    monkeypatch.setattr(module, made, names[made], raising=False)
    return names[made]


def test_the_recipe_fits_on_a_page() -> None:
    assert len(RECIPE.splitlines()) < 60


async def test_the_recipe_is_all_that_an_event_needs(
    monkeypatch: pytest.MonkeyPatch, api: Callable[..., Awaitable[Harness]]
) -> None:
    monkeypatch.setattr(envelope, "_REGISTRY", dict(envelope.registry()))
    released = compatibility.contracts()
    contract, function, test = BLOCKS
    assert all((ROOT / path).is_file() for path in BLOCKS)
    event = put_into(monkeypatch, importlib.import_module("common.contracts.workspaces"), BLOCKS[contract])
    projections = importlib.import_module("common.bus.projections")
    project = put_into(monkeypatch, projections, BLOCKS[function], **{event.__name__: event})
    assert f"`{event.__name__}: {project.__name__},`" in RECIPE
    monkeypatch.setitem(PROJECTIONS, event, project)

    names: dict[str, Any] = {"Harness": Harness, "Kind": Kind, "to_text": to_text}
    exec(BLOCKS[test], names | {"WorkspaceArchived": WorkspaceArchived, event.__name__: event}, names)
    tests = [value for name, value in names.items() if name.startswith("test_")]
    for each in tests:
        await each(await api("campaigns", key_encryption_key="6b" * 32))
    assert len(tests) == 1

    made = pages.pages(ROOT)
    assert pages.GOLDEN / f"{event.ce_type()}.json" in made
    assert event.ce_type() in made[pages.GUIDE]
    assert f"name: {event.ce_type()}" in made[pages.DOCUMENT]
    assert compatibility.breaks(released, compatibility.contracts()) == []
