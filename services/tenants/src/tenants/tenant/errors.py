"""Facts that refuse a request."""

from common.errors import Forbidden


class FeatureDisabled(Forbidden):
    """The plan does not include a feature that the request needs; `detail` names it."""

    code = "feature_disabled"

    def __init__(self, feature: str) -> None:
        super().__init__(f"The plan does not include the feature {feature}.")
