"""Every operation of the document, with generated requests: right ones, wrong ones, and no token."""

from hypothesis import HealthCheck, Phase, settings
from schemathesis.generation.case import Case

from tests.contract.document import EXAMPLES, SEED, closed, load, operations, read
from tests.contract.stage import Stage
from tests.summary import Say

SCHEMA = load(closed(read()))
UNREACHED = {
    "GET /api/v1/tenants/exports/{signed}": "its link comes with a finished export; tried in test_export.py",
    "GET /api/v1/tenants/provisioning/{signed}": "its link is given only when a sign-up takes unusually long",
    "GET /api/v1/platform/deletions/{tenant_id}": "their tenant stays; tried in test_operators.py",
    "POST /api/v1/platform/deletions/{tenant_id}/run": "the same",
    "POST /api/v1/platform/auth/mfa": "operators of the local stack need no code",
}
"""Operations whose success these requests cannot bring about, and why."""


@SCHEMA.parametrize()
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_answers_are_as_documented(case: Case, stage: Stage) -> None:
    stage.exchange(case)


def test_every_operation_was_asked_and_succeeded(stage: Stage, say_at_the_end: Say) -> None:
    """Runs after the others: without successes they prove little."""
    seeded = f"CONTRACT_SEED={SEED} CONTRACT_EXAMPLES={EXAMPLES}"
    say_at_the_end("contract", f"{stage.record.requests} requests, {seeded}")
    labels = {operation.label for operation in operations(SCHEMA)}
    assert labels <= stage.record.statuses.keys()
    assert {label for label in labels if not stage.record.reached(label)} == UNREACHED.keys()
