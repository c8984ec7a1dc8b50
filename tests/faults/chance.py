"""What the seeded tests draw from, and how long they go on."""

import os


def seed() -> int:
    """FAULT_SEED: what every random choice follows from."""
    return int(os.environ.get("FAULT_SEED", "20261122"))


def runs(short: int) -> int:
    """FAULT_RUNS: how many kills a test makes; `short` without it."""
    return int(os.environ.get("FAULT_RUNS", short))
