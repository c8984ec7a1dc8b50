"""Pure rules of what operators may override."""

from collections.abc import Mapping
from typing import Literal, TypeVar

Flag = Literal["api_rate_limit", "data_retention_days", "custom_branding", "beta_features"]
SWITCHES: frozenset[Flag] = frozenset({"custom_branding", "beta_features"})
"""Flags that are on or off; the others are numbers."""
MOST: Mapping[Flag, int] = {"api_rate_limit": 1_000_000, "data_retention_days": 36_500}

Value = TypeVar("Value")


def misfit(flag: Flag, value: bool | int) -> str | None:
    """Why the flag cannot have the value, or None."""
    if flag in SWITCHES:
        return None if isinstance(value, bool) else "must be true or false"
    if isinstance(value, bool) or not 1 <= value <= MOST[flag]:
        return f"must be a whole number from 1 to {MOST[flag]}"
    return None


def overridden(before: Mapping[str, Value], changes: Mapping[str, Value | None]) -> dict[str, Value]:
    """The overrides after `changes`, in which None lifts one."""
    after = {**before, **changes}
    return {name: value for name, value in after.items() if value is not None}
