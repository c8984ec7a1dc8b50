"""Reference pages made from the code: `python -m common.reference [--check] DOCS_FOLDER`."""

import sys
from pathlib import Path

from common.contracts.envelope import TOPICS, Event, registry

_EVENTS_HEAD = """# Events

Made from `libs/common/src/common/contracts` by `make docs`; do not edit.

CloudEvents 1.0 in Kafka's binary mode: the envelope is in headers (`ce_id`, `ce_type`, `ce_source`, `ce_time`,
`ce_subject`, `ce_tenantid`, `ce_partitionkey`, `ce_sequence`, `traceparent`), the value is JSON. The key is the
tenant's id, so a tenant's events of one topic stay in one partition; order is promised per `ce_subject`. Delivery
is at least once: drop what you have seen by `ce_id`. Ignore fields you do not know. `ce_sequence` is contiguous per
`ce_source`; a repeated publication carries the same number. Dead letters of our own consumers are in `<topic>.dlq`.

Each value also has `meta`: the actor, the request id and the id of the event that caused it.
"""


def events_page() -> str:
    """`docs/events.md`."""
    lines = [_EVENTS_HEAD]
    for topic in TOPICS:
        lines.append(f"\n## `{topic}`\n\n| type | about | audit action | fields |\n|---|---|---|---|\n")
        events = [event for _, event in sorted(registry().items()) if topic == event.TOPIC]
        lines += [_event_line(event) for event in events]
    return "".join(lines)


def _event_line(event: type[Event]) -> str:
    fields = ", ".join(f"`{name}`" for name in event.model_fields if name != "meta")
    action = f"`{event.ACTION}`" if event.ACTION else "–"
    return f"| `{event.ce_type()}` | {event.RESOURCE} | {action} | {fields} |\n"


def main(arguments: list[str]) -> int:
    """Write the pages, or with `--check` say which are out of date."""
    folder = Path(arguments[-1])
    pages = {folder / "events.md": events_page()}
    if "--check" not in arguments:
        for path, page in pages.items():
            path.write_text(page, encoding="utf-8")
        return 0
    stale = [str(path) for path, page in pages.items() if not path.exists() or path.read_text() != page]
    sys.stderr.write("".join(f"{path} is out of date: make docs\n" for path in stale))
    return len(stale)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
