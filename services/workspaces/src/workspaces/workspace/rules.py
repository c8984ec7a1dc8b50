"""Pure rules of workspaces."""

import re
import unicodedata

MAX_SLUG = 63


def slug_from(name: str, suffix: str) -> str:
    """A slug for `name`; `suffix` stands in when no letter or digit of it survives in ASCII."""
    ascii_name = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    slug = re.sub(r"[^a-z0-9]+", "-", ascii_name).strip("-")[:MAX_SLUG].strip("-")
    return slug or f"workspace-{suffix}"
