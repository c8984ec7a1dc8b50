"""What a check reports."""

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    ERROR = "error"
    """The stack cannot start, does not work, or gives secrets away."""
    WARNING = "warning"
    """It works, though not as somebody may expect."""


@dataclass(frozen=True, slots=True)
class Problem:
    what: str
    mend: str
    level: Level = Level.ERROR
