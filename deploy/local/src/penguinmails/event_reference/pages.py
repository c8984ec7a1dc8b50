"""The files made from the registry of events, and the gate against what was released: `event-document`."""

import json
from pathlib import Path

from common.contracts.envelope import registry
from penguinmails.event_reference import asyncapi, compatibility, guide
from penguinmails.event_reference.samples import golden

DOCUMENT = Path("docs/asyncapi.yaml")
GUIDE = Path("docs/events.md")
GOLDEN = Path("libs/common/tests/golden")
"""One file per event type and version: what the class writes, byte for byte but for the white space."""

RELEASED = Path("docs/events.released.json")
"""What subscribers rely on since the last release; later contracts may add to it only."""


def pages(root: Path) -> dict[Path, str]:
    """What is made, by its path in the repository."""
    examples = {GOLDEN / f"{name}.json": _json(golden(cls)) for name, cls in registry().items()}
    return {DOCUMENT: asyncapi.render(), GUIDE: guide.render(root), **examples}


def write(root: Path) -> None:
    made = pages(root)
    for path in left_over(root, made):
        (root / path).unlink()
    for path, page in made.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(page, encoding="utf-8")


def stale(root: Path) -> list[str]:
    """What is missing, differs from what the code says, or belongs to no event any more."""
    made = pages(root)
    differing = [
        path
        for path, page in made.items()
        if not (root / path).is_file() or (root / path).read_text(encoding="utf-8") != page
    ]
    return [str(path) for path in [*differing, *left_over(root, made)]]


def left_over(root: Path, made: dict[Path, str]) -> list[Path]:
    present = [path.relative_to(root) for path in (root / GOLDEN).glob("*.json")]
    return sorted(path for path in present if path not in made)


def breaking(root: Path) -> list[str]:
    """What in the contracts would break subscribers of the released ones."""
    released = json.loads((root / RELEASED).read_text(encoding="utf-8"))
    return [*compatibility.breaks(released, compatibility.contracts()), *compatibility.unreadable(released)]


def release(root: Path) -> None:
    """From now on subscribers may rely on the contracts of today."""
    (root / RELEASED).write_text(_json(compatibility.contracts()), encoding="utf-8")


def _json(document: object) -> str:
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"
