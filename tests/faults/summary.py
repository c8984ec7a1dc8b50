"""One line for each seeded test, shown at the end of the run."""

from collections import defaultdict

LINES: defaultdict[str, list[str]] = defaultdict(list)
"""By heading."""
