"""Access tokens that must open nothing, made from one that does."""

import time
from typing import Any

from common.ids import Kind, new_id, to_text
from common.testing.issuer import TokenIssuer
from penguinmails.isolation.forgeries import claims_of, without_the_key

__all__ = ["claims_of", "with_the_key", "without_the_key"]

Json = dict[str, Any]


def with_the_key(issuer: TokenIssuer, claims: Json) -> dict[str, str]:
    """What the right key signed but the contract does not allow, of a tenant's user."""
    return {
        **of_anybody(issuer, claims),
        "without tenant": issuer.sign(_lacking(claims, "tenant_id")),
        "without session": issuer.sign(_lacking(claims, "sid")),
        "of two users": issuer.sign({**claims, "sub": to_text(Kind.USER, new_id())}),
        "with a tenant that is a list": issuer.sign({**claims, "tenant_id": [claims["tenant_id"]]}),
    }


def of_anybody(issuer: TokenIssuer, claims: Json) -> dict[str, str]:
    """What the right key signed but the contract does not allow, whoever it is for."""
    now = time.time()
    return {
        "of another type": issuer.sign(claims, typ="JWT"),
        "of no type": issuer.sign(claims, typ=""),
        "of a service": issuer.sign(claims, typ="service+jwt"),
        "unknown kid": issuer.sign(claims, kid="nobody"),
        "expired": issuer.sign({**claims, "iat": now - 900, "nbf": now - 900, "exp": now - 60}),
        "not yet valid": issuer.sign({**claims, "nbf": now + 600}),
        "issued in the future": issuer.sign({**claims, "iat": now + 600}),
        "for another audience": issuer.sign({**claims, "aud": "somebody-else"}),
        "for several audiences": issuer.sign({**claims, "aud": [claims["aud"], "somebody-else"]}),
        "by another issuer": issuer.sign({**claims, "iss": "http://somebody.else"}),
        "without expiry": issuer.sign(_lacking(claims, "exp")),
        "without id": issuer.sign(_lacking(claims, "jti")),
        "with an instant that is none": issuer.sign({**claims, "iat": 10**30}),
    }


def _lacking(claims: Json, name: str) -> Json:
    return {key: value for key, value in claims.items() if key != name}
