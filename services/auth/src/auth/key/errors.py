"""Facts that refuse a rotation."""

from common.errors import Conflict


class RotationUnderWay(Conflict):
    """A new key is published already and has not signed yet."""

    code = "rotation_under_way"

    def __init__(self) -> None:
        super().__init__("A new key is published already and has not signed yet.")
