"""Service tokens: how one service proves to another which service it is.

An ES256 JWT of at most a minute, signed with the calling service's own key, for one called service.
"""

import time
from collections.abc import Mapping
from typing import Any, cast

import jwt
from fastapi import Depends
from pydantic import Field, SecretStr
from starlette.requests import Request

from common.errors import Forbidden, Unauthenticated
from common.ids import new_id
from common.settings import ServiceSettings
from common.web.kernel import kernel_of

TYPE = "service+jwt"
MAX_SECONDS = 60
_ALGORITHM = "ES256"
_SECONDS = 30
_LEEWAY_SECONDS = 5
_REQUIRED = ["iss", "aud", "iat", "exp", "jti"]


class CallingSettings(ServiceSettings):
    """Settings of a service that calls others."""

    service_signing_key: SecretStr = Field(description="PEM, P-256: signs this service's tokens")
    auth_url: str = "http://127.0.0.1:8001"


class CalledSettings(ServiceSettings):
    """Settings of a service that others call."""

    service_public_keys: dict[str, str] = Field(description="JSON: service name to the PEM of its key")


def make_service_token(private_key: str, caller: str, called: str) -> str:
    """A token with which `caller` may address `called` for `_SECONDS`."""
    now = int(time.time())
    claims = {"iss": caller, "aud": called, "iat": now, "exp": now + _SECONDS, "jti": str(new_id())}
    return jwt.encode(claims, private_key, algorithm=_ALGORITHM, headers={"typ": TYPE})


def verify_service_token(token: str, called: str, public_keys: Mapping[str, str]) -> str:
    """Name of the service that made the token.

    Raises:
        Unauthenticated: for every reason alike.
    """
    try:
        if jwt.get_unverified_header(token).get("typ") != TYPE:
            raise Unauthenticated
        unverified = jwt.decode(token, options={"verify_signature": False})
        caller = str(unverified.get("iss", ""))
        claims: dict[str, Any] = jwt.decode(
            token,
            public_keys[caller],
            algorithms=[_ALGORITHM],
            audience=called,
            issuer=caller,
            leeway=_LEEWAY_SECONDS,
            options={"require": _REQUIRED, "strict_aud": True},
        )
        if cast(float, claims["exp"]) - cast(float, claims["iat"]) > MAX_SECONDS:
            raise Unauthenticated
    except (jwt.PyJWTError, KeyError, ValueError, TypeError) as error:
        raise Unauthenticated from error
    return caller


def from_service(*callers: str) -> Any:
    """A dependency of internal routes that lets only these services pass."""

    async def check(request: Request) -> str:
        kernel = kernel_of(request)
        if not isinstance(kernel.settings, CalledSettings):
            raise TypeError(f"{kernel.service} has no public keys of other services")
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            raise Unauthenticated
        caller = verify_service_token(token, kernel.service, kernel.settings.service_public_keys)
        if caller not in callers:
            raise Forbidden("This service may not call this operation.")
        return caller

    return Depends(check)
