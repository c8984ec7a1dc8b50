"""Access tokens that must open nothing, made from one that does."""

import base64
import hashlib
import hmac
import json
import time
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from common.ids import Kind, new_id, to_text
from common.testing.issuer import TokenIssuer

Json = dict[str, Any]


def without_the_key(token: str, jwks: Json, stranger_tenant: str) -> dict[str, str]:
    """What anybody can make who has seen a token and the published keys."""
    header, payload, signature = token.split(".")
    claims = jwt.decode(token, options={"verify_signature": False})
    head = jwt.get_unverified_header(token)
    key = ec.generate_private_key(ec.SECP256R1())
    published = next(entry for entry in jwks["keys"] if entry["kid"] == head["kid"])
    public = ECAlgorithm.from_jwk(published)
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    own_jwk = ECAlgorithm.to_jwk(key.public_key(), as_dict=True)

    def signed(**changes: Any) -> str:
        return jwt.encode(claims, key, algorithm="ES256", headers={**head, **changes})

    def changed(**changes: Any) -> str:
        return f"{header}.{_text({**claims, **changes})}.{signature}"

    return {
        "no algorithm": _encode({**head, "alg": "none"}, claims, b""),
        "no algorithm, shouted": _encode({**head, "alg": "NONE"}, claims, b""),
        "shared secret: the published key": _hmac({**head, "alg": "HS256"}, claims, pem),
        "shared secret: the published key as JSON": _hmac(
            {**head, "alg": "HS256"}, claims, json.dumps(published).encode()
        ),
        "shared secret: empty": _hmac({**head, "alg": "HS256"}, claims, b""),
        "another key": signed(),
        "another key, unknown kid": signed(kid="nobody"),
        "another key, without kid": signed(kid=""),
        "another key, brought along": signed(jwk=own_jwk),
        "another key, to be fetched": signed(jku="http://127.0.0.1:1/jwks.json", kid="mine"),
        "kid that is a path": signed(kid="../../../../dev/null"),
        "other tenant, old signature": changed(tenant_id=stranger_tenant),
        "later expiry, old signature": changed(exp=2**40),
        "flipped signature": f"{header}.{payload}.{_flip(signature)}",
        "no signature": f"{header}.{payload}.",
        "zero signature": _encode(head, claims, bytes(64)),
        "two parts": f"{header}.{payload}",
        "five parts": f"{header}.{payload}.{signature}.{payload}.{signature}",
        "garbage": "garbage",
        "very long": "e" * 20_000,
    }


def with_the_key(issuer: TokenIssuer, claims: Json) -> dict[str, str]:
    """What the right key signed but the contract does not allow."""
    now = time.time()

    def lacking(name: str) -> Json:
        return {key: value for key, value in claims.items() if key != name}

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
        "without expiry": issuer.sign(lacking("exp")),
        "without tenant": issuer.sign(lacking("tenant_id")),
        "without session": issuer.sign(lacking("sid")),
        "without id": issuer.sign(lacking("jti")),
        "of two users": issuer.sign({**claims, "sub": to_text(Kind.USER, new_id())}),
        "with a tenant that is a list": issuer.sign({**claims, "tenant_id": [claims["tenant_id"]]}),
        "with an instant that is none": issuer.sign({**claims, "iat": 10**30}),
    }


def _text(part: Json) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()


def _encode(head: Json, claims: Json, signature: bytes) -> str:
    return f"{_text(head)}.{_text(claims)}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


def _hmac(head: Json, claims: Json, secret: bytes) -> str:
    message = f"{_text(head)}.{_text(claims)}".encode()
    return _encode(head, claims, hmac.digest(secret, message, hashlib.sha256))


def _flip(signature: str) -> str:
    return signature[:10] + ("A" if signature[10] != "A" else "B") + signature[11:]


def claims_of(token: str) -> Json:
    """What the token says, believed as it stands."""
    claims: Json = jwt.decode(token, options={"verify_signature": False})
    return claims
