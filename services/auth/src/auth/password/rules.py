"""Pure rules of passwords: length, and what everybody would guess first."""

import unicodedata
from importlib import resources

MIN_LENGTH = 15
MAX_LENGTH = 128
_TELLING = 5
"""Characters of an address or company name below which a password may contain it by chance."""

COMMON = frozenset(
    resources.files("auth.password").joinpath("common.txt").read_text(encoding="utf-8").split()
)
"""Common passwords and the parts they are made of, folded."""

_LONGEST = max(map(len, COMMON))
_DIGITS = "0123456789"
_PERIOD = 8


def fold(text: str) -> str:
    """`text` as compared here: compatibility forms, case, spaces and punctuation do not matter."""
    return "".join(char for char in _plain(text) if char.isalnum())


def _plain(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()


def weakness(password: str, email: str, company: str) -> str | None:
    """Why nobody should have this password, or None."""
    folded = fold(password)
    for own in (fold(email), fold(email.partition("@")[0]), fold(company)):
        if len(own) >= _TELLING and own in folded:
            return "must not contain your e-mail address or company name"
    if _is_monotonous(_plain(password)) or folded in COMMON or _is_made_of_common_parts(folded):
        return "is one of the passwords that are guessed first"
    return None


def _is_monotonous(plain: str) -> bool:
    """Few different characters, or something short again and again."""
    if len(set(plain)) <= 3:
        return True
    return any(plain == (plain[:period] * len(plain))[: len(plain)] for period in range(1, _PERIOD + 1))


def _is_made_of_common_parts(folded: str) -> bool:
    """Nothing but listed parts, with digits in between."""
    rest = folded.strip(_DIGITS)
    while rest:
        lengths = range(min(len(rest), _LONGEST), 0, -1)
        part = next((length for length in lengths if rest[:length] in COMMON), 0)
        if not part:
            return False
        rest = rest[part:].strip(_DIGITS)
    return bool(folded)
