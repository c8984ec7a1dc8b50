"""Texts of unknown origin on the operator's terminal, and commands that can be typed there."""

import re
import shlex
import shutil
import sys
from pathlib import Path

from rich import markup

_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""What moves the cursor, renames the window or turns the direction of writing."""


def escape(text: str) -> str:
    """`text` as it stands: neither Rich's markup nor the terminal's commands in it are followed."""
    return markup.escape(  # noqa: TID251 - this is what the others are to use
        _CONTROLS.sub("\ufffd", text)
    )


_OURS = re.compile(r"(?<![\w./-])(penguinmails|uv)(?= [a-z])")
_PLACES = {"penguinmails": Path(sys.executable).parent, "uv": Path(".uv/bin")}
"""Where our programs are when they are not on the PATH: uv there where `make` has fetched it."""


def typed(text: str) -> str:
    """`text` with our commands in it as they can be typed here and now."""
    return _OURS.sub(lambda found: _program(found[1]), text)


def _program(name: str) -> str:
    own = _PLACES[name] / name
    if shutil.which(name) or not own.exists():
        return name
    return shlex.quote(str(own.relative_to(Path.cwd()) if own.is_relative_to(Path.cwd()) else own))
