"""Takes secrets and personal data out of what is about to be logged or traced.

The rule of the house is that nobody puts them there. This is for what slips through: messages of libraries,
and values that a caller chose.
"""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

HIDDEN = "[hidden]"
LONGEST = 4000
"""Characters of one text; what is behind them is cut off."""

# A short word: ids, templates of routes, names. Most of what is logged is, and needs no closer look.
_SHORT = 39
_PLAIN = re.compile(r"(?!.*(?:eyJ|[srp]k_|whsec_))[\w./{}-]*")
_BEGUN = re.compile(r"\S{0,256}\Z")
_KEYS = re.compile(
    r"(?i)passw|passphrase|pwd|secret|token|authori[sz]ation|cookie|api_?key|e_?mail|phone|signature|credential"
)
# Each alternative is bounded, so that no text takes longer than its length allows.
_VALUES = re.compile(
    r"""(?xi)
    (?P<keep>://[^/\s:@]{0,64}:)[^@\s/]{1,256}(?=@)                  # a password in a URL
    | (?P<scheme>\b(?:bearer|basic)\s+)[^\s"',;]+                    # credentials in a header
    | (?P<name>\b[\w.-]{0,32}
        (?:password|passwd|passphrase|pwd|secret|token|api[_-]?key|cookie|signature)\\?["']?\s{0,4}[=:]\s{0,4})
      (?:\\"[^"\\]{0,1024}\\"|"[^"]{0,1024}"|'[^']{0,1024}'|[^\s"'&,;})]+)   # name=value, "name": "value"
    | -----BEGIN[ ][A-Z ]{1,32}-----[A-Za-z0-9+/=\s\\]{0,4000}       # a key or certificate
    | \beyJ[\w-]{8,}(?:\.[\w-]*){0,2}                                # a JSON web token, or its head
    | \b(?:sk|rk|pk|whsec)_\w{8,}                                    # Stripe's keys
    | (?=[A-Za-z_-]{0,39}\d)[A-Za-z0-9_-]{40,}                       # links, opaque tokens, long numbers
    | [^\s@"'<>(),:;=&]{1,64}(?:@|%40)[^\s@"'<>(),:;=&/]{1,255}      # an e-mail address
    """
)


def redact(text: str) -> str:
    """`text` without what looks like a secret or an e-mail address."""
    if len(text) <= _SHORT and _is_plain(text):
        return text
    whole = len(text) <= LONGEST
    shown = text if whole else _BEGUN.sub("…", text[:LONGEST], count=1)
    return _VALUES.sub(_hide, shown)


@lru_cache(maxsize=4096)
def _is_plain(text: str) -> bool:
    return _PLAIN.fullmatch(text) is not None


def redact_value(value: Any) -> Any:
    """A copy of anything that can be logged, with its texts redacted and what has a secret's name hidden."""
    if isinstance(value, str):
        return redact(value)
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping):
        return redact_fields(value)  # type: ignore[reportUnknownArgumentType]  # of anything
    if isinstance(value, Sequence | set | frozenset) and not isinstance(value, bytes | bytearray):
        return [redact_value(item) for item in value]  # type: ignore[reportUnknownVariableType]
    return redact(str(value))


def redact_fields(fields: Mapping[Any, Any]) -> dict[str, Any]:
    """As `redact_value`, of names and values."""
    shown: dict[str, Any] = {}
    for name, value in fields.items():
        written, is_telling = _read_name(str(name))
        shown[written] = HIDDEN if value and is_telling else redact_value(value)
    return shown


@lru_cache(maxsize=1024)
def _read_name(name: str) -> tuple[str, bool]:
    """The name as it is shown, and whether what it names is not."""
    return redact(name), _KEYS.search(name) is not None


def _hide(match: re.Match[str]) -> str:
    return next((kept for kept in match.groups() if kept), "") + HIDDEN
