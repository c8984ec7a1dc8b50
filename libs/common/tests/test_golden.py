"""One golden file per event: what goes over the wire is what the file says, and files can still be read."""

import json
from pathlib import Path
from typing import Any

import pytest

from common.contracts import Envelope, registry
from common.contracts.envelope import TOPICS

FOLDER = Path(__file__).parent / "golden"
FILES = sorted(FOLDER.glob("*.json"))


def wire(golden: dict[str, Any]) -> bytes:
    """The payload's bytes as they stand in Kafka: the file's, without its white space."""
    return json.dumps(golden["payload"], separators=(",", ":"), ensure_ascii=False).encode()


def received(golden: dict[str, Any]) -> Envelope:
    headers = [(name, value.encode()) for name, value in golden["headers"].items()]
    return Envelope.from_kafka(headers, golden["key"].encode(), wire(golden))


def test_every_event_has_its_golden_file() -> None:
    assert [path.stem for path in FILES] == sorted(registry()), "make docs"


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_an_event_is_written_as_its_golden_file_says(path: Path) -> None:
    golden = json.loads(path.read_text(encoding="utf-8"))
    envelope = received(golden)
    event = envelope.event()
    assert event is not None
    assert event.ce_type() == path.stem
    assert event.model_dump_json().encode() == wire(golden)
    assert event.model_fields_set == set(type(event).model_fields), "the example shows every field"
    assert {name: value.decode() for name, value in envelope.headers()} == golden["headers"]
    assert (event.TOPIC, event.subject) == (golden["topic"], golden["headers"]["ce_subject"])
    assert event.TOPIC in TOPICS


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_a_golden_file_of_a_newer_writer_is_read_too(path: Path) -> None:
    golden = json.loads(path.read_text(encoding="utf-8"))
    expected = received(golden).event()
    golden["payload"]["added_later"] = {"deep": [1]}
    golden["payload"]["meta"]["added_later"] = True
    assert received(golden).event() == expected
