"""Host names as DNS knows them: one spelling for each."""

import re

import idna

MAX_NAME = 253
_TOP_LEVEL = re.compile(r"[a-z]{2,63}|xn--[a-z0-9-]{1,59}")


def normal_host(text: str, longest: int = MAX_NAME) -> str:
    """The name in lower case, A-labels (IDNA 2008 after UTS 46), no final dot.

    Raises:
        ValueError: an IP address, a wildcard, a single label, too long, or no host name at all.
    """
    try:
        name = idna.encode(text, uts46=True, std3_rules=True).decode().removesuffix(".")
    except idna.IDNAError as error:
        raise ValueError("must be a domain name") from error
    labels = name.split(".")
    if len(labels) < 2 or not _TOP_LEVEL.fullmatch(labels[-1]):
        raise ValueError("must be a domain name below a top-level domain")
    if len(name) > longest:
        raise ValueError(f"must not be longer than {longest} characters, to leave room for its records")
    return name


def is_within(name: str, host: str) -> bool:
    """Whether `name` is the host or below it."""
    return name == host or name.endswith(f".{host}")
