"""Pure rules of sign-up: its steps, its keys, its status links."""

import base64
import binascii
import hmac
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from common.ids import age_seconds

StepName = Literal["record", "owner_account", "default_workspace", "billing", "welcome_mail"]
STEPS: tuple[StepName, ...] = ("record", "owner_account", "default_workspace", "billing", "welcome_mail")
NEEDED_FOR_TOKEN: frozenset[str] = frozenset({"record", "owner_account", "default_workspace"})
"""When these are done, the owner's token works on every service; nobody waits for the rest."""

KEY_LIFE = timedelta(hours=24)
MIN_KEY_LENGTH = 32
"""A UUID's hexadecimal digits; longer than anybody would guess."""
REISSUE_WINDOW = timedelta(minutes=15)
"""How long after sign-up its key still gets tokens; later it gets the ids alone."""

BILLING_HEADSTART = timedelta(seconds=1)
"""Start of billing after the sign-up: nobody waits for it, and it must not be in anybody's way."""

STUCK_AFTER = timedelta(minutes=1)
"""A sign-up that takes longer is not merely slow."""

_LINK_SECONDS = 24 * 3600.0
_TAG_BYTES = 16


def overall_status(steps: Mapping[str, str]) -> Literal["running", "done", "failed"]:
    """Status of a sign-up from those of its steps."""
    if "failed" in steps.values():
        return "failed"
    return "done" if all(steps.get(name) == "done" for name in STEPS) else "running"


SIGN_UPS: Mapping[str, tuple[bool | None, bool | None]] = {
    "running": (False, False),
    "failed": (False, True),
    "done": (True, None),
}
"""Which sign-ups have a status: finished or not; with a failed step or not (None: whichever)."""


def is_stuck(status: str, started_at: datetime, now: datetime) -> bool:
    """Whether somebody should look at a sign-up; `status` is its overall one."""
    return status == "failed" or (status == "running" and now - started_at >= STUCK_AFTER)


def may_reissue(ready_at: datetime, now: datetime) -> bool:
    """Whether a repeated sign-up may still be answered with tokens."""
    return now - ready_at < REISSUE_WINDOW


def keyed_hash(secret: str, purpose: str, text: str) -> bytes:
    """What is stored instead of `text`: recognisable, not guessable."""
    return hmac.digest(bytes.fromhex(secret), f"{purpose}|{text}".encode(), "sha256")


def sign_link(secret: str, tenant_id: UUID) -> str:
    """The part of a status URL that lets its bearer, and nobody else, look at one sign-up."""
    tag = keyed_hash(secret, "provisioning", str(tenant_id))[:_TAG_BYTES]
    return base64.urlsafe_b64encode(tenant_id.bytes + tag).rstrip(b"=").decode()


def read_link(secret: str, signed: str, now: datetime) -> UUID | None:
    """The tenant of a status URL made by `sign_link` within the last day, or None."""
    try:
        raw = base64.b64decode(signed + "=", altchars=b"-_", validate=True)
        tenant_id = UUID(bytes=raw[:16])
    except (binascii.Error, ValueError):
        return None
    known = hmac.compare_digest(sign_link(secret, tenant_id).encode(), signed.encode())
    return tenant_id if known and age_seconds(tenant_id, now) <= _LINK_SECONDS else None
