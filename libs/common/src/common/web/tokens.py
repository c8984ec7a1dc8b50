"""Verification of access tokens with the published keys of `auth`."""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar
from uuid import UUID

import httpx
import jwt

from common import clock
from common.errors import Unauthenticated, Unavailable
from common.ids import Kind, parse
from common.settings import ServiceSettings
from common.web.calls import make_client

log = logging.getLogger(__name__)

ALGORITHM = "ES256"
TYPE = "at+jwt"
LEEWAY_SECONDS = 10
_OF_USERS = ["exp", "iat", "nbf", "iss", "aud", "sub", "jti", "sid", "tenant_id", "user_id"]
_OF_OPERATORS = ["exp", "iat", "nbf", "iss", "aud", "sub", "jti", "operator_id"]
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


@dataclass(frozen=True, slots=True)
class OperatorClaims:
    """What a verified token of an operator says; it speaks of no tenant."""

    operator_id: UUID
    email: str
    issued_at: datetime
    expires_at: datetime


ClaimsT = TypeVar("ClaimsT", Claims, OperatorClaims)


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
                async with make_client(timeout=3) as client:
                    answer = (await client.get(self._url)).raise_for_status()
                self.install(jwt.PyJWKSet.from_dict(answer.json()))
            except (httpx.HTTPError, jwt.PyJWTError, ValueError) as error:
                log.warning("key set not loaded", extra={"fields": {"error": type(error).__name__}})


def _material(keys: Mapping[str, jwt.PyJWK]) -> dict[str, Any]:
    """The public keys themselves, which compare by value."""
    return {name: key.key for name, key in keys.items()}


class TokenVerifier:
    """Verifies bearer tokens: of tenants' users, and of operators. Neither ever passes for the other."""

    def __init__(self, settings: ServiceSettings) -> None:
        if settings.platform_audience == settings.token_audience:
            raise ValueError("PLATFORM_AUDIENCE and TOKEN_AUDIENCE must differ")
        self.keys = KeySet(settings.jwks_url)
        issuer = settings.token_issuer
        self._users = _Reader(self.keys, issuer, settings.token_audience, _OF_USERS, _claims)
        self._operators = _Reader(
            self.keys, issuer, settings.platform_audience, _OF_OPERATORS, _operator_claims
        )

    async def verify(self, token: str) -> Claims:
        """The claims of a user's token.

        Raises:
            Unauthenticated: for every reason alike.
            Unavailable: the keys have never been loaded.
        """
        return await self._users.read(token)

    async def verify_operator(self, token: str) -> OperatorClaims:
        """The claims of an operator's token.

        Raises:
            Unauthenticated: for every reason alike.
            Unavailable: the keys have never been loaded.
        """
        return await self._operators.read(token)


class _Reader(Generic[ClaimsT]):
    """Reads tokens of one audience; remembers verified ones until they expire or the keys change."""

    def __init__(
        self,
        keys: KeySet,
        issuer: str,
        audience: str,
        required: list[str],
        parse: Callable[[dict[str, Any]], ClaimsT],
    ) -> None:
        self.keys = keys
        self._issuer, self._audience, self._required, self._parse = issuer, audience, required, parse
        self._verified: OrderedDict[str, tuple[int, ClaimsT]] = OrderedDict()

    async def read(self, token: str) -> ClaimsT:
        known = self._verified.get(token)
        if known is not None and known[0] == self.keys.generation and known[1].expires_at > clock.now():
            return known[1]
        self._verified.pop(token, None)
        claims = await self._check(token)
        self._verified[token] = (self.keys.generation, claims)
        if len(self._verified) > _CACHE_SIZE:
            self._verified.popitem(last=False)
        return claims

    async def _check(self, token: str) -> ClaimsT:
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
                options={"require": self._required, "strict_aud": True},
            )
            return self._parse(payload)
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


def _operator_claims(payload: dict[str, Any]) -> OperatorClaims:
    if payload["sub"] != payload["operator_id"] or "tenant_id" in payload:
        raise ValueError("not an operator's")
    return OperatorClaims(
        operator_id=_identifier(Kind.OPERATOR, payload["operator_id"]),
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
