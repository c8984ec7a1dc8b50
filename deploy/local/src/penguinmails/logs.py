"""The processes' logs: merged by time, filtered, followed."""

import json
import re
import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from heapq import merge
from pathlib import Path
from typing import Any, cast

from rich.text import Text

from penguinmails.terminal import escape

LEVELS = ("debug", "info", "warning", "error", "critical")
_WORDS = {
    **{level: level for level in LEVELS},
    **{"log": "info", "notice": "info", "detail": "info", "hint": "info", "statement": "info"},
    **{"warn": "warning", "fatal": "critical", "panic": "critical", "trace": "debug"},
}
_TIME = re.compile(r'^(?:\{"time": "|\[)?(\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d)(?:[.,](\d{1,6}))?')
_LEVEL = re.compile(rf'"level": "(\w+)"|(?:^|[\s\[])({"|".join(_WORDS)})[\]:]', re.IGNORECASE)
_AGE = re.compile(r"(\d+)([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_COLOURS = {"debug": "dim", "warning": "yellow", "error": "red", "critical": "bold red"}
_EVERY = 0.2
_STANDARD = {"time", "level", "service", "logger", "message"}


@dataclass(frozen=True, slots=True)
class Line:
    """A line that tells no time or level belongs to the one before it and has its."""

    process: str
    time: datetime
    level: str
    text: str


@dataclass(frozen=True, slots=True)
class Filter:
    since: datetime | None = None
    level: str = LEVELS[0]
    pattern: re.Pattern[str] | None = None
    words: tuple[str, ...] = ()
    """Ids that the line must name."""

    def takes(self, line: Line) -> bool:
        return (
            (self.since is None or line.time >= self.since)
            and LEVELS.index(line.level) >= LEVELS.index(self.level)
            and (self.pattern is None or self.pattern.search(line.text) is not None)
            and all(word in line.text for word in self.words)
        )


def read_since(text: str, now: datetime) -> datetime:
    """A time (`2026-01-31T12:00:00Z`, UTC when it does not say), or so long ago (`90s`, `5m`, `2h`, `1d`).

    Raises:
        ValueError: it is neither.
    """
    if age := _AGE.fullmatch(text):
        return now - timedelta(**{_UNITS[age[2]]: int(age[1])})
    told = datetime.fromisoformat(text)
    return told if told.tzinfo else told.replace(tzinfo=UTC)


class Log:
    """One process's file; what was read once is not read again."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.process = path.name.partition(".")[0]
        self._place = 0
        self._rest = b""
        self._last: tuple[datetime, str] = (datetime.fromtimestamp(0, UTC), "info")

    def new_lines(self) -> Iterator[Line]:
        """Whole lines written since the last call; from the beginning when the file was emptied."""
        try:
            with self.path.open("rb") as file:
                if file.seek(0, 2) < self._place:
                    self._place, self._rest = 0, b""
                file.seek(self._place)
                data = self._rest + file.read()
                self._place = file.tell()
        except FileNotFoundError:
            return
        *whole, self._rest = data.split(b"\n")
        for raw in whole:
            yield self._line(raw.decode(errors="replace"))

    def _line(self, text: str) -> Line:
        at, level = _TIME.match(text), _LEVEL.search(text[:200])
        if at:
            fraction = (at[2] or "0").ljust(6, "0")
            told = datetime.fromisoformat(f"{at[1]}.{fraction}+00:00")
            word = ((level[1] or level[2]) if level else "info").lower()
            self._last = (told, _WORDS.get(word, "info"))
        return Line(self.process, *self._last, text)


def last(logs: Iterable[Log], wanted: Filter, most: int) -> list[Line]:
    """The newest lines of all logs that the filter takes, by time."""
    taken = [[line for line in log.new_lines() if wanted.takes(line)][-most:] for log in logs]
    return list(deque(merge(*taken, key=lambda line: line.time), most))


def follow(logs: Iterable[Log], wanted: Filter) -> Iterator[Line]:
    """New lines as they come; for ever."""
    watched = list(logs)
    while True:
        yield from last(watched, wanted, 1 << 30)
        time.sleep(_EVERY)


def document(line: Line) -> dict[str, Any]:
    """The line as JSON; what its process told as such stays as it is."""
    told = _told(line)
    own = {"process": line.process, "time": line.time.isoformat(), "level": line.level}
    return {**own, **(told or {"message": line.text})}


def pretty(line: Line) -> Text:
    """For people: when, who, how bad, what, and the rest."""
    told = _told(line)
    message = told["message"] if told else line.text
    rest = {name: value for name, value in (told or {}).items() if name not in _STANDARD and value != ""}
    stack = rest.pop("stack", "")
    facts = " ".join(f"{name}={value}" for name, value in rest.items())
    colour = _COLOURS.get(line.level, "green")
    head = f"[dim]{line.time:%H:%M:%S}.{line.time.microsecond // 1000:03}[/] [cyan]{line.process:<10}[/] "
    body = f"[{colour}]{line.level:<8}[/] {escape(str(message))} [dim]{escape(facts)}[/]"
    return Text.from_markup(head + body + (f"\n[dim]{escape(stack)}[/]" if stack else ""))


def _told(line: Line) -> dict[str, Any] | None:
    """What a service's line says; None for a line that is not JSON."""
    try:
        found = json.loads(line.text)
    except ValueError:
        return None
    return cast("dict[str, Any]", found) if isinstance(found, dict) and "message" in found else None
