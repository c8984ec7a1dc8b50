"""Verification of access tokens with the published keys of `auth`."""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import httpx
import jwt

from common import clock
from common.errors import Unauthenticated, Unavailable
from common.ids import Kind, parse
from common.settings import ServiceSettings

log = logging.getLogger(__name__)

ALGORITHM = "ES256"
TYPE = "at+jwt"
LEEWAY_SECONDS = 10
_REQUIRED = ["exp", "iat", "nbf", "iss", "aud", "sub", "jti", "sid", "tenant_id", "user_id"]
_CACHE_SIZE = 10_000
_REFRESH_SECONDS = 60.0
_RETRY_SECONDS = 0.5
_MAX_TOKEN = 8192


@dataclass(frozen=True, slots=True)
class Claims:
    """What a verified token says. Roles are not here: the database knows the current one."""

    tenant_id: UUID
    user_id: UUID
    session_id: UUID
    email: str
    issued_at: datetime
    expires_at: datetime


class KeySet:
    """The JWKS of `auth`, refreshed in the background and when an unknown key id turns up."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._keys: dict[str, jwt.PyJWK] = {}
        self._asked = float("-inf")
        self._lock = asyncio.Lock()
        self.generation = 0

    @property
    def loaded(self) -> bool:
        return bool(self._keys)

    async def find(self, kid: str) -> jwt.PyJWK | None:
        """The key, asking `auth` again (at most every half second) when it is unknown.

        Raises:
            Unavailable: no key set was ever loaded and `auth` cannot be reached.
        """
        if kid not in self._keys:
            await self._refresh()
        if not self._keys:
            raise Unavailable
        return self._keys.get(kid)

    def install(self, key_set: jwt.PyJWKSet) -> None:
        """Replace the keys; tokens verified with a changed set are verified again."""
        keys = {key.key_id: key for key in key_set.keys if key.key_id}
        if _material(keys) != _material(self._keys):
            self.generation += 1
        self._keys = keys

    async def keep_fresh(self) -> None:
        """Refresh forever; run as a task."""
        while True:
            await self._refresh()
            await asyncio.sleep(_REFRESH_SECONDS if self.loaded else _RETRY_SECONDS)

    async def _refresh(self) -> None:
        async with self._lock:
            now = asyncio.get_running_loop().time()
            if now - self._asked < _RETRY_SECONDS:
                return
            self._asked = now
            try:
                async with httpx.AsyncClient(timeout=3) as client:
                    answer = (await client.get(self._url)).raise_for_status()
                self.install(jwt.PyJWKSet.from_dict(answer.json()))
            except (httpx.HTTPError, jwt.PyJWTError, ValueError) as error:
                log.warning("key set not loaded", extra={"fields": {"error": type(error).__name__}})


def _material(keys: Mapping[str, jwt.PyJWK]) -> dict[str, Any]:
    """The public keys themselves, which compare by value."""
    return {name: key.key for name, key in keys.items()}


class TokenVerifier:
    """Verifies bearer tokens; remembers verified ones until they expire or the keys change."""

    def __init__(self, settings: ServiceSettings) -> None:
        self.keys = KeySet(settings.jwks_url)
        self._issuer = settings.token_issuer
        self._audience = settings.token_audience
        self._verified: OrderedDict[str, tuple[int, Claims]] = OrderedDict()

    async def verify(self, token: str) -> Claims:
        """The token's claims.

        Raises:
            Unauthenticated: for every reason alike.
            Unavailable: the keys have never been loaded.
        """
        known = self._verified.get(token)
        if known is not None and known[0] == self.keys.generation and known[1].expires_at > clock.now():
            return known[1]
        self._verified.pop(token, None)
        claims = await self._check(token)
        self._verified[token] = (self.keys.generation, claims)
        if len(self._verified) > _CACHE_SIZE:
            self._verified.popitem(last=False)
        return claims

    async def _check(self, token: str) -> Claims:
        if len(token) > _MAX_TOKEN:
            raise Unauthenticated
        try:
            header = jwt.get_unverified_header(token)
            if header.get("alg") != ALGORITHM or str(header.get("typ", "")).lower() != TYPE:
                raise Unauthenticated
            key = await self.keys.find(str(header.get("kid", "")))
            if key is None:
                raise Unauthenticated
            payload = jwt.decode(
                token,
                key,
                algorithms=[ALGORITHM],
                audience=self._audience,
                issuer=self._issuer,
                leeway=LEEWAY_SECONDS,
                options={"require": _REQUIRED, "strict_aud": True},
            )
            return _claims(payload)
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError) as error:
            raise Unauthenticated from error


def _claims(payload: dict[str, Any]) -> Claims:
    if payload["sub"] != payload["user_id"]:
        raise ValueError("sub and user_id differ")
    return Claims(
        tenant_id=_identifier(Kind.TENANT, payload["tenant_id"]),
        user_id=_identifier(Kind.USER, payload["user_id"]),
        session_id=_identifier(Kind.SESSION, payload["sid"]),
        email=str(payload.get("email", "")),
        issued_at=_instant(payload["iat"]),
        expires_at=_instant(payload["exp"]),
    )


def _identifier(kind: Kind, value: object) -> UUID:
    if not isinstance(value, str):
        raise TypeError("an identifier is a text")
    return parse(kind, value)


def _instant(seconds: float) -> datetime:
    """Millisecond precision, without the error of binary fractions."""
    whole, millis = divmod(round(seconds * 1000), 1000)
    return datetime.fromtimestamp(whole, tz=UTC).replace(microsecond=millis * 1000)
