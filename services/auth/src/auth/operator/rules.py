"""Pure rules of operators: their tokens, their codes, the time between password and code."""

import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from uuid import UUID

import pyotp
from pyotp.totp import TOTP

from auth.opaque import derived_token, read_token
from common.ids import PLATFORM_TENANT, Kind, new_id, to_text

TOKEN_SECONDS = 600
_ISSUER = "PenguinMails"
_STEP_SECONDS = 30
_MFA_WINDOW_SECONDS = 300
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)

Refusal = Literal["unknown_address", "wrong_password", "account_closed", "mfa_missing", "wrong_code"]


@dataclass(frozen=True, slots=True)
class Account:
    """What decides about a log-in."""

    password_hash: str
    is_open: bool
    has_totp: bool


def judge(account: Account | None, candidates: Sequence[str], *, mfa_required: bool) -> Refusal | None:
    """Why the password, which is one of the candidates once hashed, does not let in, or None."""
    if account is None:
        return "unknown_address"
    if not any(hmac.compare_digest(account.password_hash, candidate) for candidate in candidates):
        return "wrong_password"
    if not account.is_open:
        return "account_closed"
    return "mfa_missing" if mfa_required and not account.has_totp else None


def new_secret() -> str:
    return pyotp.random_base32()


def enrolment_uri(secret: str, email: str) -> str:
    """The `otpauth:` address with which an app learns the secret (also as a QR code)."""
    return TOTP(secret).provisioning_uri(name=email, issuer_name=_ISSUER)


def find_step(secret: str, code: str, now: datetime, last_step: int) -> int | None:
    """The step (RFC 6238) that `code` is of: the present one or a neighbour, after `last_step`; else None."""
    totp, current = TOTP(secret), int(now.timestamp()) // _STEP_SECONDS
    steps = (current - 1, current, current + 1)
    fitting = [step for step in steps if hmac.compare_digest(totp.generate_otp(step), code)]
    return next((step for step in fitting if step > last_step), None)


def mfa_token(secret_hex: str, operator_id: UUID, now: datetime) -> str:
    """Proof that the operator's password was right, for five to ten minutes."""
    return _mfa_token(secret_hex, operator_id, _window(now))


def read_mfa_token(secret_hex: str, text: str, now: datetime) -> UUID | None:
    """Whose password was right, or None."""
    token = read_token(text)
    if token is None or token.tenant_id != PLATFORM_TENANT:
        return None
    made = [_mfa_token(secret_hex, token.row_id, window) for window in (_window(now), _window(now) - 1)]
    return token.row_id if any(hmac.compare_digest(one, text) for one in made) else None


def access_claims(
    operator_id: UUID, email: str, issued_at: datetime, issuer: str, audience: str
) -> dict[str, Any]:
    """Claims of an operator's access token. No tenant is among them."""
    milliseconds = (issued_at - _EPOCH) // _MILLISECOND
    seconds, name = milliseconds // 1000, to_text(Kind.OPERATOR, operator_id)
    return {
        "iss": issuer,
        "aud": audience,
        "sub": name,
        "exp": seconds + TOKEN_SECONDS,
        "iat": milliseconds / 1000,
        "nbf": seconds,
        "jti": str(new_id()),
        "operator_id": name,
        "email": email,
    }


def _window(now: datetime) -> int:
    return int(now.timestamp()) // _MFA_WINDOW_SECONDS


def _mfa_token(secret_hex: str, operator_id: UUID, window: int) -> str:
    return derived_token(secret_hex, f"operator_mfa|{window}", PLATFORM_TENANT, operator_id).text
