"""Which tests `make test` keeps together."""

import pytest
from tests.lanes import PLATFORM, lane_of


@pytest.mark.parametrize(
    ("nodeid", "lane"),
    [
        ("tests/e2e/test_story.py::test_story", PLATFORM),
        ("tests/faults/test_outages.py::test_outage[kafka]", PLATFORM),
        ("tests/faults/saga/test_kills.py::test_kills", PLATFORM),
        ("tests/faults/bus/test_relay.py::test_kills", "tests/faults/bus"),
        ("tests/isolation/test_routes.py::test_owner[in_process-GET /a::b]", "tests/isolation"),
        ("tests/isolation/test_routes.py::test_owner[at_the_gateway-GET /a]", PLATFORM),
        ("services/auth/tests/test_keys.py::test_keys", "services/auth/tests/test_keys.py"),
    ],
)
def test_what_shares_something_stays_together(nodeid: str, lane: str) -> None:
    assert lane_of(nodeid) == lane


def test_who_needs_the_platform_is_in_its_lane(request: pytest.FixtureRequest) -> None:
    """Elsewhere it would start a second one. Sees the tests that were collected with this one."""
    watching = [item.nodeid for item in request.session.items if "stack" in getattr(item, "fixturenames", ())]
    assert not [nodeid for nodeid in watching if lane_of(nodeid) != PLATFORM]


def test_no_two_tests_have_one_name(request: pytest.FixtureRequest) -> None:
    """Of those that had, only one would run. Sees the tests that were collected with this one."""
    names = [item.nodeid for item in request.session.items]
    assert len(names) == len(set(names))
