"""How `make test` divides the tests among two processes (docs/adr/0031-two-lanes.md): a plugin.

What watches the whole platform mostly waits (for time-outs, intervals, restarts), everything else mostly
computes. Side by side they take little more time than the longer of the two.
"""

from pathlib import PurePosixPath

import pytest
from _pytest.nodeid import NodeId
from xdist import is_xdist_worker
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

PLATFORM = "the platform"
_WATCHING = (
    "deploy/local/tests/test_doctor.py",
    "deploy/local/tests/test_ways_in.py",
    "tests/contract",
    "tests/e2e",
    "tests/faults",
)
_OF_ITS_OWN = ("tests/isolation", "tests/faults/bus")
"""Each of these in one process and in order, for its tests share what they have made. Every other file goes
to whoever is free."""

_FIRST = (
    "tests/e2e/test_events_command.py",
    "tests/e2e/test_healing.py",
    "tests/faults/test_deletion.py",
    "tests/faults/test_restore.py",
)
"""They read whatever the platform has kept: what they take grows with what was done before."""


def lane_of(nodeid: str) -> str:
    """What the test must not be parted from."""
    path, _, name = nodeid.partition("::")
    file = PurePosixPath(path)
    if "[at_the_" in name:
        return PLATFORM
    for folder in _OF_ITS_OWN:
        if file.is_relative_to(folder):
            return folder
    return PLATFORM if any(file.is_relative_to(place) for place in _WATCHING) else path


class Lanes(LoadScopeScheduling):
    """Hands out the platform's lane, then the others in the order of the collection."""

    def _split_scope(self, nodeid: str) -> str:
        return lane_of(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Lanes:
    config.option.loadscopereorder = False
    return Lanes(config, log)


def _name_alone(item: pytest.Item) -> None:
    """With pytest 9.2 the operations of a Schemathesis test share a node id: xdist would run the first."""
    if item.parent is not None and not item.nodeid.endswith(item.name):
        item._id = NodeId.parse(f"{item.parent.nodeid}::{item.name}")


def _rank(nodeid: str) -> int:
    """Lower ranks go first."""
    if lane_of(nodeid) != PLATFORM:
        return 2
    return 0 if nodeid.startswith(_FIRST) else 1


def pytest_collection_modifyitems(session: pytest.Session, items: list[pytest.Item]) -> None:
    for item in items:
        _name_alone(item)
    if is_xdist_worker(session):
        items.sort(key=lambda item: _rank(item.nodeid))
