"""Access tokens that must open nothing, made by somebody who has a token and has seen the public keys."""

import base64
import hashlib
import hmac
import json
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

Json = dict[str, Any]


def claims_of(token: str) -> Json:
    """What the token says, believed as it stands."""
    claims: Json = jwt.decode(token, options={"verify_signature": False})
    return claims


def without_the_key(token: str, jwks: Json, stranger_tenant: str) -> dict[str, str]:
    """Forged tokens by what is wrong with them."""
    header, payload, signature = token.split(".")
    claims = claims_of(token)
    head = jwt.get_unverified_header(token)
    key = ec.generate_private_key(ec.SECP256R1())
    published: Json = next(entry for entry in jwks["keys"] if entry["kid"] == head["kid"])
    public: Any = ECAlgorithm.from_jwk(published)
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    own_jwk = ECAlgorithm.to_jwk(key.public_key(), as_dict=True)

    def signed(**changes: Any) -> str:
        return jwt.encode(claims, key, algorithm="ES256", headers={**head, **changes})

    def changed(**changes: Any) -> str:
        return f"{header}.{_text({**claims, **changes})}.{signature}"

    return {
        "no algorithm": _encode({**head, "alg": "none"}, claims, b""),
        "no algorithm, shouted": _encode({**head, "alg": "NONE"}, claims, b""),
        "no algorithm, other tenant": _encode(
            {**head, "alg": "none"}, {**claims, "tenant_id": stranger_tenant}, b""
        ),
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
        "past expiry, old signature": changed(exp=1),
        "flipped signature": f"{header}.{payload}.{_flip(signature)}",
        "no signature": f"{header}.{payload}.",
        "zero signature": _encode(head, claims, bytes(64)),
        "two parts": f"{header}.{payload}",
        "five parts": f"{header}.{payload}.{signature}.{payload}.{signature}",
        "garbage": "garbage",
        "very long": "e" * 20_000,
    }


def unsigned(token: str, claims: Json) -> str:
    """A token of other claims that says it needs no signature."""
    return _encode({**jwt.get_unverified_header(token), "alg": "none"}, claims, b"")


def _text(part: Json) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()


def _encode(head: Json, claims: Json, signature: bytes) -> str:
    return f"{_text(head)}.{_text(claims)}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


def _hmac(head: Json, claims: Json, secret: bytes) -> str:
    message = f"{_text(head)}.{_text(claims)}".encode()
    return _encode(head, claims, hmac.digest(secret, message, hashlib.sha256))


def _flip(signature: str) -> str:
    return signature[:10] + ("A" if signature[10] != "A" else "B") + signature[11:]
