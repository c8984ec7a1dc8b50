"""Breakages of what keeps suspended tenants quiet and deleted ones gone."""

from tests.isolation.mutations.mutation import CodeMutation, Edit

_COMMON = "libs/common/src/common"

ENDINGS = (
    CodeMutation(
        "deleted tenants brought back",
        (Edit(f"{_COMMON}/bus/inbox.py", "(:outlives OR NOT EXISTS", "(true OR NOT EXISTS"),),
        ("test_erasure.py::test_late_events_bring_nothing_back",),
    ),
    CodeMutation(
        "stragglers not waited for",
        (Edit(f"{_COMMON}/erasure.py", "AND xact_start < :fence", "AND xact_start < :fence AND false"),),
        ("test_erasure.py::test_whoever_began_before_the_deletion_is_waited_for",),
    ),
    CodeMutation(
        "suspended tenants write",
        (
            Edit(
                f"{_COMMON}/web/deps.py", 'if method not in _READS or standing.role == "member":', "if False:"
            ),
        ),
        ("test_suspension.py::test_heads_read_and_nobody_writes",),
    ),
)
