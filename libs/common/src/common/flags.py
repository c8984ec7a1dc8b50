"""Feature flags of a tenant, asked through OpenFeature: the tenant is the targeting key.

What the flags are stands in the tenant's projection; `tenancy.enter` tells it to whoever is let in, so asking
costs no query and is as fresh as the transaction. Whatever goes wrong, a flag is the default of whoever asks:
choose what the least plan has.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any, TypeVar, cast
from uuid import UUID

from openfeature import api
from openfeature.client import OpenFeatureClient
from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import FlagNotFoundError, TargetingKeyMissingError, TypeMismatchError
from openfeature.flag_evaluation import FlagResolutionDetails, Reason
from openfeature.provider import AbstractProvider, Metadata

from common.ids import Kind, to_text

_DOMAIN = "penguinmails"
_FEATURES = "features"

FlagT = TypeVar("FlagT", bound="bool | int | float | str | list[Any] | dict[str, Any]")


class TenantFlags(AbstractProvider):
    """Resolves a flag among the features that the evaluation context brings of its tenant."""

    def get_metadata(self) -> Metadata:
        return Metadata(name="tenant features")

    def resolve_boolean_details(
        self, flag_key: str, default_value: bool, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[bool]:
        return _resolve(flag_key, bool, evaluation_context)

    def resolve_integer_details(
        self, flag_key: str, default_value: int, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[int]:
        return _resolve(flag_key, int, evaluation_context)

    def resolve_string_details(
        self, flag_key: str, default_value: str, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[str]:
        return _resolve(flag_key, str, evaluation_context)

    def resolve_float_details(
        self, flag_key: str, default_value: float, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[float]:
        return _resolve(flag_key, float, evaluation_context)

    def resolve_object_details(
        self, flag_key: str, default_value: Any, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[Any]:
        kind: type[dict[str, Any]] = dict
        return _resolve(flag_key, kind, evaluation_context)


def is_on(flag: str, tenant_id: UUID, features: Mapping[str, Any]) -> bool:
    """Whether a tenant with these features has the flag on; off when they do not say."""
    return _client().get_boolean_value(flag, False, _context(tenant_id, features))


def number_of(flag: str, tenant_id: UUID, features: Mapping[str, Any], default: int) -> int:
    """The flag's number for a tenant with these features."""
    return _client().get_integer_value(flag, default, _context(tenant_id, features))


@cache
def _client() -> OpenFeatureClient:
    api.set_provider_and_wait(TenantFlags(), domain=_DOMAIN)
    return api.get_client(_DOMAIN)


def _context(tenant_id: UUID, features: Mapping[str, Any]) -> EvaluationContext:
    return EvaluationContext(to_text(Kind.TENANT, tenant_id), {_FEATURES: features})


def _resolve(flag: str, kind: type[FlagT], context: EvaluationContext | None) -> FlagResolutionDetails[FlagT]:
    """The flag's value.

    Raises:
        TargetingKeyMissingError: no tenant is asked about.
        FlagNotFoundError: its features do not have the flag.
        TypeMismatchError: the value is of another kind.
    """
    if context is None or not context.targeting_key:
        raise TargetingKeyMissingError
    features = cast(Mapping[str, Any], context.attributes.get(_FEATURES, {}))
    if flag not in features:
        raise FlagNotFoundError
    value = features[flag]
    if type(value) is not kind:
        raise TypeMismatchError
    return FlagResolutionDetails(value, reason=Reason.TARGETING_MATCH)
