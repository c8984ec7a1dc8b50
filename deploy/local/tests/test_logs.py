"""Logs of services and servers: read as one, filtered, followed."""

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from penguinmails import logs
from penguinmails.logs import Filter, Log

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
TENANT = "tenant_01m81fq5b8epcv4zzmr6nq3vwv"


def told(seconds: int, message: str, level: str = "info", **fields: str) -> str:
    at = (NOW + timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")
    head = {"time": at, "level": level, "service": "auth", "logger": "x", "message": message}
    return json.dumps({**head, **fields})


@pytest.fixture
def found(tmp_path: Path) -> list[Log]:
    texts = {
        "auth.log": [
            told(1, "first", trace_id="ab12" + "0" * 28),
            told(3, "third", "warning", tenant_id=TENANT),
            told(5, "fifth", "error", stack="File x"),
        ],
        "postgres.log": [
            "2026-11-22 12:00:02.5 UTC [7] LOG:  second",
            "2026-11-22 12:00:04.000 UTC [7] ERROR:  fourth",
            "\tits second line",
        ],
        "envoy.log": ["[2026-11-22 12:00:06.001][9][warning][config] sixth"],
    }
    for name, lines in texts.items():
        (tmp_path / name).write_text("\n".join(lines) + "\n")
    return [Log(tmp_path / name) for name in texts]


def names(found: list[Log], wanted: Filter, most: int = 100) -> list[str]:
    words = "first|second|third|fourth|its|fifth|sixth"
    return [re.findall(words, line.text)[0] for line in logs.last(found, wanted, most)]


def test_lines_of_all_processes_stand_in_the_order_of_time(found: list[Log]) -> None:
    assert names(found, Filter()) == ["first", "second", "third", "fourth", "its", "fifth", "sixth"]


def test_only_the_newest_lines_are_shown(found: list[Log]) -> None:
    assert names(found, Filter(), 3) == ["its", "fifth", "sixth"]


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (Filter(since=NOW + timedelta(seconds=5)), ["fifth", "sixth"]),
        (Filter(level="warning"), ["third", "fourth", "its", "fifth", "sixth"]),
        (Filter(level="error"), ["fourth", "its", "fifth"]),
        (Filter(pattern=re.compile("s[ie]")), ["second", "its", "sixth"]),
        (Filter(words=(TENANT,)), ["third"]),
        (Filter(words=('"trace_id": "ab1',)), ["first"]),
    ],
)
def test_filters(found: list[Log], wanted: Filter, expected: list[str]) -> None:
    shown = names(found, wanted)
    assert [name for name in shown if name in expected] == expected
    assert wanted.pattern or shown == expected


def test_what_is_written_later_is_followed_also_in_a_log_that_was_emptied(found: list[Log]) -> None:
    assert len(logs.last(found, Filter(), 100)) == 7
    log = found[0]
    with log.path.open("a") as file:
        file.write(told(7, "first")[:20])
    assert logs.last([log], Filter(), 100) == []
    with log.path.open("a") as file:
        file.write(told(7, "first")[20:] + "\n")
    assert names([log], Filter()) == ["first"]
    log.path.write_text(told(8, "second") + "\n")
    assert names([log], Filter()) == ["second"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90s", NOW - timedelta(seconds=90)),
        ("2h", NOW - timedelta(hours=2)),
        ("2026-11-22T11:00:00", NOW - timedelta(hours=1)),
        ("2026-11-22T13:00:00+02:00", NOW - timedelta(hours=1)),
    ],
)
def test_times(text: str, expected: datetime) -> None:
    assert logs.read_since(text, NOW) == expected


def test_a_time_that_is_none() -> None:
    with pytest.raises(ValueError, match="yesterday"):
        logs.read_since("yesterday", NOW)


def test_people_see_the_message_and_programs_all_of_it(found: list[Log]) -> None:
    *_, fourth, _, fifth, _ = logs.last(found, Filter(), 100)
    assert logs.pretty(fifth).plain.splitlines() == ["12:00:05.000 auth       error    fifth ", "File x"]
    assert logs.document(fifth)["message"] == "fifth"
    assert logs.document(fourth)["process"] == "postgres"
    assert "ERROR:  fourth" in logs.document(fourth)["message"]
