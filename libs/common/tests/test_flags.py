"""Feature flags through OpenFeature: a tenant's own features, and the least when anything is wrong."""

from typing import Any

import pytest
from openfeature import api
from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import ErrorCode
from openfeature.flag_evaluation import Reason

from common.flags import is_on, number_of
from common.ids import Kind, new_id, to_text
from common.testing.harness import FEATURES

STARTER = FEATURES.model_dump()


def test_a_flag_is_what_the_tenants_features_say() -> None:
    tenant_id = new_id()
    assert number_of("api_rate_limit", tenant_id, STARTER, 1) == 300
    assert number_of("api_rate_limit", tenant_id, {**STARTER, "api_rate_limit": 7}, 1) == 7
    assert is_on("custom_branding", tenant_id, STARTER) is False
    assert is_on("custom_branding", tenant_id, {**STARTER, "custom_branding": True}) is True


@pytest.mark.parametrize("value", [None, "on", 1, 1.0, "true", []])
def test_nothing_but_true_switches_a_flag_on(value: Any) -> None:
    assert is_on("custom_branding", new_id(), {"custom_branding": value}) is False


@pytest.mark.parametrize("value", [None, "600", True, 6.5])
def test_nothing_but_a_whole_number_is_a_limit(value: Any) -> None:
    assert number_of("api_rate_limit", new_id(), {"api_rate_limit": value}, 300) == 300


def test_unknown_flags_are_the_askers_default() -> None:
    assert is_on("surprise", new_id(), STARTER) is False
    assert number_of("surprise", new_id(), STARTER, 42) == 42


def test_any_client_of_openfeature_sees_the_same() -> None:
    """With the tenant as the targeting key; without one nothing is found."""
    is_on("beta_features", new_id(), STARTER)
    client = api.get_client("penguinmails")
    context = EvaluationContext(to_text(Kind.TENANT, new_id()), {"features": {"beta_features": True}})
    found = client.get_boolean_details("beta_features", False, context)
    assert (found.value, found.reason, found.error_code) == (True, Reason.TARGETING_MATCH, None)
    nobody = client.get_boolean_details("beta_features", False, EvaluationContext(None, context.attributes))
    assert (nobody.value, nobody.error_code) == (False, ErrorCode.TARGETING_KEY_MISSING)
    for asked in (client.get_string_details, client.get_object_details, client.get_float_details):
        assert asked("beta_features", {}, context).error_code is ErrorCode.TYPE_MISMATCH  # type: ignore[operator]
