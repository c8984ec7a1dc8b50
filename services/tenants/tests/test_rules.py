"""Pure rules: plans, settings, status links."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.clock import now
from common.contracts.tenants import Plan
from common.ids import new_id
from tenants.billing.rules import CALL_SECONDS, LEASE, PRICES, retry_delay
from tenants.provisioning.rules import STEPS, may_reissue, overall_status, read_link, sign_link
from tenants.tenant.rules import (
    FEATURES,
    LIMITS,
    changed_names,
    effective_settings,
    features_of,
    limits_of,
    merge_patch,
)

SECRET, OTHER = "ab" * 32, "cd" * 32


@pytest.mark.parametrize(
    ("plan", "limits", "features"),
    [
        ("starter", (3, 3, 10_000), (300, 90, False, False)),
        ("professional", (10, 5, 50_000), (1200, 365, False, False)),
        ("enterprise", (1000, 1000, 5_000_000), (12_000, 1095, True, False)),
    ],
)
def test_each_plan_includes_what_is_promised(
    plan: Plan, limits: tuple[int, ...], features: tuple[object, ...]
) -> None:
    assert tuple(LIMITS[plan].model_dump().values()) == limits
    assert tuple(FEATURES[plan].model_dump().values()) == features
    assert PRICES[plan].amount > 0


def test_an_operator_may_say_otherwise() -> None:
    assert limits_of("starter", {"max_users": 9}).max_users == 9
    assert limits_of("starter", {"max_users": 9}).max_workspaces == 3
    assert features_of("starter", {"beta_features": True}).beta_features


def test_settings_fall_back_field_by_field() -> None:
    chosen = {"timezone": "Europe/Paris", "branding": {"primary_color": "#112233"}}
    settings = effective_settings("Acme", "starter", chosen, {})
    assert settings["timezone"] == "Europe/Paris"
    assert settings["email_sender_name"] == "Acme"
    assert settings["branding"] == {"logo_url": None, "primary_color": "#112233", "custom_domain": None}
    assert settings["limits"]["max_workspaces"] == 3
    assert effective_settings("Acme", "starter", {}, {})["branding"]["primary_color"] is None


def test_a_status_link_is_for_one_tenant_and_one_day() -> None:
    tenant_id, moment = new_id(), now()
    link = sign_link(SECRET, tenant_id)
    assert read_link(SECRET, link, moment) == tenant_id
    assert read_link(OTHER, link, moment) is None
    assert read_link(SECRET, link[:-1] + ("A" if link[-1] != "A" else "B"), moment) is None
    assert read_link(SECRET, link, moment + timedelta(hours=25)) is None


@given(st.text(max_size=60))
def test_no_text_passes_for_a_status_link(text: str) -> None:
    assert read_link(SECRET, text, now()) is None


def test_a_forged_link_for_a_known_tenant_is_none() -> None:
    tenant_id = new_id()
    forged = sign_link(OTHER, tenant_id)
    assert read_link(SECRET, forged, now()) is None
    assert UUID(int=0) != tenant_id


def test_a_sign_up_is_done_when_all_steps_are() -> None:
    done = dict.fromkeys(STEPS, "done")
    assert overall_status({}) == "running"
    assert overall_status(done) == "done"
    assert overall_status({**done, "billing": "running"}) == "running"
    assert overall_status({**done, "welcome_mail": "failed"}) == "failed"


def test_tokens_are_issued_again_for_fifteen_minutes() -> None:
    ready = datetime(2026, 11, 21, tzinfo=UTC)
    assert may_reissue(ready, ready + timedelta(minutes=14, seconds=59))
    assert not may_reissue(ready, ready + timedelta(minutes=15))


def test_attempts_at_stripe_never_overlap_and_waits_are_bounded() -> None:
    assert LEASE.total_seconds() > CALL_SECONDS
    assert [retry_delay(n).total_seconds() for n in (1, 2, 6, 100)] == [1, 2, 32, 60]


def test_a_merge_patch_leaves_no_empty_object() -> None:
    chosen = {"timezone": "Asia/Tokyo", "branding": {"logo_url": "a", "primary_color": "b"}}
    assert merge_patch(chosen, {"branding": {"logo_url": None}})["branding"] == {"primary_color": "b"}
    assert merge_patch(chosen, {"branding": {"logo_url": None, "primary_color": None}}) == {
        "timezone": "Asia/Tokyo"
    }
    assert merge_patch({}, {"security": {"mfa_required": None}, "timezone": None}) == {}
    assert chosen["branding"] == {"logo_url": "a", "primary_color": "b"}, "the stored state stays as it was"


def test_changes_are_named_to_the_leaf() -> None:
    before, after = {"timezone": "UTC", "branding": {"logo_url": "a"}}, {"branding": {"logo_url": "b"}}
    assert changed_names(before, after) == ("branding.logo_url", "timezone")
    assert changed_names(before, before) == ()
