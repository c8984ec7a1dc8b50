"""A token issuer of the tests' own: signs what it is told to, honest or forged."""

import time
from typing import Any
from uuid import UUID

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from common.ids import Kind, new_id, to_text

KEY_ID = "test-key"


class TokenIssuer:
    """Stands in for `auth` where a test needs tokens without the whole stack."""

    def __init__(
        self,
        issuer: str = "http://127.0.0.1:8080",
        audience: str = "penguinmails",
        platform_audience: str = "penguinmails-platform",
    ) -> None:
        self.private_key = ec.generate_private_key(ec.SECP256R1())
        self._issuer, self._audience, self._platform_audience = issuer, audience, platform_audience

    def jwks(self) -> dict[str, Any]:
        """The public key as a JWK set."""
        jwk = ECAlgorithm.to_jwk(self.private_key.public_key(), as_dict=True)
        return {"keys": [{**jwk, "kid": KEY_ID, "alg": "ES256", "use": "sig"}]}

    def claims(
        self, tenant_id: UUID, user_id: UUID, session_id: UUID | None = None, **changes: Any
    ) -> dict[str, Any]:
        """Honest claims, with `changes` (None removes a claim)."""
        now = time.time()
        claims: dict[str, Any] = {
            "iss": self._issuer,
            "aud": self._audience,
            "sub": to_text(Kind.USER, user_id),
            "user_id": to_text(Kind.USER, user_id),
            "tenant_id": to_text(Kind.TENANT, tenant_id),
            "sid": to_text(Kind.SESSION, session_id or new_id()),
            "jti": str(new_id()),
            "iat": round(now, 3),
            "nbf": int(now),
            "exp": int(now) + 900,
            "email": "user@example.com",
            "role": "owner",
            "workspaces": [],
            **changes,
        }
        return {name: value for name, value in claims.items() if value is not None}

    def token(self, tenant_id: UUID, user_id: UUID, session_id: UUID | None = None, **changes: Any) -> str:
        """An access token as `auth` would issue it, with `changes` to its claims."""
        return self.sign(self.claims(tenant_id, user_id, session_id, **changes))

    def operator_claims(self, operator_id: UUID, **changes: Any) -> dict[str, Any]:
        """Honest claims of an operator, with `changes` (None removes a claim)."""
        now, name = time.time(), to_text(Kind.OPERATOR, operator_id)
        claims: dict[str, Any] = {
            "iss": self._issuer,
            "aud": self._platform_audience,
            "sub": name,
            "operator_id": name,
            "jti": str(new_id()),
            "iat": round(now, 3),
            "nbf": int(now),
            "exp": int(now) + 600,
            "email": "operator@example.com",
            **changes,
        }
        return {name: value for name, value in claims.items() if value is not None}

    def operator_token(self, operator_id: UUID, **changes: Any) -> str:
        """An access token of an operator as `auth` would issue it, with `changes` to its claims."""
        return self.sign(self.operator_claims(operator_id, **changes))

    def sign(self, claims: dict[str, Any], **header: Any) -> str:
        """Sign `claims`; `header` changes the JOSE header."""
        headers = {"kid": KEY_ID, "typ": "at+jwt", **header}
        return jwt.encode(claims, self.private_key, algorithm="ES256", headers=headers)
