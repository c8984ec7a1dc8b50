"""`docs/events.md`: the hand-written guide with the example and the tables put in."""

import re
from pathlib import Path

from common.contracts.envelope import TOPICS, Event
from penguinmails.event_reference.asyncapi import events_of

TEMPLATE = Path("docs/templates/events.md")

_NOTE = f"<!-- Made by `make docs` from {TEMPLATE} and the contracts; do not edit. -->\n\n"
_FILE = re.compile(r"^<!-- file: (\S+) -->$", re.M)
_TABLES = "<!-- tables -->"


def render(root: Path) -> str:
    """The page; files that the template names stand in it word for word."""
    template = (root / TEMPLATE).read_text(encoding="utf-8")
    text = _FILE.sub(lambda found: _quoted(root / found[1]), template)
    return _NOTE + text.replace(_TABLES, "\n".join(_table(events_of(topic), topic) for topic in TOPICS))


def _quoted(path: Path) -> str:
    return f"```python\n{path.read_text(encoding='utf-8').rstrip()}\n```"


def _table(events: list[type[Event]], topic: str) -> str:
    head = f"### `{topic}`\n\n| type | about | audit action | fields |\n|---|---|---|---|\n"
    return head + "".join(_line(event) for event in events)


def _line(event: type[Event]) -> str:
    fields = ", ".join(f"`{name}`" for name in event.model_fields if name != "meta")
    action = f"`{event.ACTION}`" if event.ACTION else "–"
    return f"| `{event.ce_type()}` | {event.RESOURCE} | {action} | {fields} |\n"
