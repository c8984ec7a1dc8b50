"""Texts of unknown origin on the operator's terminal."""

import re

from rich import markup

_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""What moves the cursor, renames the window or turns the direction of writing."""


def escape(text: str) -> str:
    """`text` as it stands: neither Rich's markup nor the terminal's commands in it are followed."""
    return markup.escape(  # noqa: TID251 - this is what the others are to use
        _CONTROLS.sub("\ufffd", text)
    )
