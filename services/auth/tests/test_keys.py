"""Signing keys: one for all processes, sealed at rest, published for everybody's verification."""

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pyotp
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from services.auth.tests.conftest import SignIn

from auth.__main__ import SERVICE
from auth.key import pairs, rotation
from auth.key.errors import RotationUnderWay
from auth.key.ring import KeyRing, Keys
from auth.operator import rules
from auth.operator import service as operators
from auth.operator.queries import lock_operator
from common import clock
from common.context import SystemContext
from common.db.session import Database
from common.ids import PLATFORM_TENANT, Kind, to_text
from common.resealing import Resealed, Resealing
from common.sealing import EncryptionKeys, Unreadable
from common.testing.databases import DatabaseServer, ServiceDatabase, make_database
from common.testing.harness import Harness

KEY = EncryptionKeys("6b" * 32)


def test_a_sealed_key_opens_with_its_own_name_and_secret_only() -> None:
    key, other = pairs.generate(), pairs.generate()
    sealed = pairs.seal(key, KEY)
    assert pairs.unseal(key.kid, sealed, KEY).public_jwk == key.public_jwk
    for kid, blob, secret in (
        (key.kid, sealed, EncryptionKeys("00" * 32)),
        (other.kid, sealed, KEY),
        (key.kid, sealed[:-1] + bytes([sealed[-1] ^ 1]), KEY),
    ):
        with pytest.raises(Unreadable):
            pairs.unseal(kid, blob, secret)


async def test_processes_that_start_together_make_one_key(postgres: DatabaseServer) -> None:
    fresh = await make_database(postgres, "auth", SERVICE.migrations)
    database = Database(fresh.app_url, fresh.tenancy_key)
    try:
        keys = await asyncio.gather(*(KeyRing(database, KEY).keys() for _ in range(8)))
        connection = await asyncpg.connect(fresh.superuser_url)
        rows = await connection.fetch("SELECT tenant_id, kid, status FROM auth.signing_keys")
        await connection.close()
        with pytest.raises(Unreadable):
            await KeyRing(database, EncryptionKeys("00" * 32)).keys()
    finally:
        await database.close()
        await fresh.drop()
    assert {found.active.kid for found in keys} == {row["kid"] for row in rows}
    assert [(row["tenant_id"], row["status"]) for row in rows] == [(PLATFORM_TENANT, "active")]


async def test_published_keys_are_public_and_cacheable(service: Harness) -> None:
    answer = await service.client.get("/.well-known/jwks.json")
    assert answer.headers["Cache-Control"] == "public, max-age=60"
    for key in answer.json()["keys"]:
        assert key.keys() == {"kty", "crv", "x", "y", "kid", "alg", "use"}
    metadata = (await service.client.get("/.well-known/openid-configuration")).json()
    assert metadata["issuer"] == service.kernel.settings.token_issuer
    assert metadata["jwks_uri"].endswith("/.well-known/jwks.json")


async def test_tokens_verify_with_nothing_but_the_standard_and_the_published_key(
    service: Harness, sign_in: SignIn
) -> None:
    """Read as RFC 7515 and RFC 7518 say, without the library that signed."""
    tenant = await service.make_tenant()
    token = (await sign_in(tenant))["access_token"]
    header, claims = _verify(token, (await service.client.get("/.well-known/jwks.json")).json())
    assert (header["alg"], header["typ"]) == ("ES256", "at+jwt")
    assert claims["sub"] == claims["user_id"] == to_text(Kind.USER, tenant.owner_id)
    assert claims["tenant_id"] == to_text(Kind.TENANT, tenant.tenant_id)
    assert claims["workspaces"] == [to_text(Kind.WORKSPACE, tenant.workspace_id)]
    assert claims["role"] == "owner"
    assert claims["aud"] == service.kernel.settings.token_audience
    assert claims["exp"] - int(claims["iat"]) == 900
    assert round(claims["iat"] * 1000) == pytest.approx(claims["iat"] * 1000, abs=1e-3)
    assert claims["nbf"] <= claims["iat"] <= time.time()
    assert {"iss", "jti", "sid", "email"} <= claims.keys()


def _verify(token: str, jwks: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and claims; raises InvalidSignature."""
    head, body, signature = token.split(".")
    header = json.loads(_decode(head))
    (jwk,) = (key for key in jwks["keys"] if key["kid"] == header["kid"])
    x, y = (int.from_bytes(_decode(jwk[name])) for name in ("x", "y"))
    public = ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()
    raw = _decode(signature)
    assert len(raw) == 64
    der = encode_dss_signature(int.from_bytes(raw[:32]), int.from_bytes(raw[32:]))
    public.verify(der, f"{head}.{body}".encode(), ec.ECDSA(SHA256()))
    return header, json.loads(_decode(body))


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


class Ring:
    """A database of the test's own with its first key, and what processes that read it now see."""

    def __init__(self, made: ServiceDatabase) -> None:
        self.made = made
        self.database = Database(made.app_url, made.tenancy_key)

    async def seen(self) -> Keys:
        return await KeyRing(self.database, KEY).keys()

    async def rotate(self, *, leaked: bool = False) -> str:
        context = SystemContext(PLATFORM_TENANT, "platform", "auth")
        async with self.database.tenant(context) as session:
            row = await rotation.rotate(session, KEY, clock.now(), leaked=leaked)
            kid = row.kid
            await session.commit()
        return kid

    async def let_pass(self, interval: str) -> None:
        """As if all that happened had happened so much earlier."""
        await self.execute(
            "UPDATE auth.signing_keys SET created_at = created_at - $1::text::interval, "
            "activated_at = activated_at - $1::text::interval, retired_at = retired_at - $1::text::interval",
            interval,
        )

    async def execute(self, statement: str, *values: Any) -> list[Any]:
        connection = await asyncpg.connect(self.made.superuser_url)
        try:
            return list(await connection.fetch(statement, *values))
        finally:
            await connection.close()


@pytest.fixture
async def ring(postgres: DatabaseServer) -> AsyncIterator[Ring]:
    made = await make_database(postgres, "auth", SERVICE.migrations)
    ring = Ring(made)
    try:
        yield ring
    finally:
        await ring.database.close()
        await made.drop()


def published(keys: Keys) -> set[str]:
    return {key["kid"] for key in keys.published}


async def test_a_new_key_is_published_before_it_signs_and_the_old_one_until_its_last_token(
    ring: Ring,
) -> None:
    old = (await ring.seen()).active.kid
    new = await ring.rotate()
    keys = await ring.seen()
    assert (keys.active.kid, published(keys)) == (old, {old, new}), "published first"
    with pytest.raises(RotationUnderWay):
        await ring.rotate()
    await ring.let_pass("2 minutes 50 seconds")
    assert (await ring.seen()).active.kid == old, "not before everybody has it"
    await ring.let_pass("15 seconds")
    several = await asyncio.gather(*(ring.seen() for _ in range(4)))
    assert {keys.active.kid for keys in several} == {new}
    assert all(published(keys) == {old, new} for keys in several), "tokens of the old one are in use"
    await ring.let_pass("15 minutes 50 seconds")
    assert published(await ring.seen()) == {old, new}
    await ring.let_pass("15 seconds")
    assert published(await ring.seen()) == {new}
    third = await ring.rotate()
    assert {row["kid"] for row in await ring.execute("SELECT kid FROM auth.signing_keys")} == {new, third}


async def test_a_leaked_key_verifies_nothing_any_more(ring: Ring) -> None:
    old = (await ring.seen()).active.kid
    waiting = await ring.rotate()
    new = await ring.rotate(leaked=True)
    keys = await ring.seen()
    assert (keys.active.kid, published(keys)) == (new, {new})
    rows = await ring.execute("SELECT kid, status FROM auth.signing_keys")
    assert {row["kid"]: row["status"] for row in rows} == {old: "retired", waiting: "retired", new: "active"}
    told = await ring.execute(
        "SELECT data FROM tenancy.outbox WHERE type LIKE '%SigningKeyRotated%' ORDER BY id"
    )
    assert [(json.loads(row["data"])["kid"], json.loads(row["data"])["leaked"]) for row in told] == [
        (waiting, False),
        (new, True),
    ]


async def reseal(ring: Ring, keys: EncryptionKeys) -> list[Resealed]:
    resealing = Resealing("auth", ring.database, keys, "olga")
    return [done for sealed in SERVICE.sealed async for done in resealing.run(sealed, [PLATFORM_TENANT])]


async def test_signing_keys_and_operators_secrets_get_another_encryption_key(ring: Ring) -> None:
    new, both = EncryptionKeys("0b" * 32), EncryptionKeys(f"{'0b' * 32},{'6b' * 32}")
    kid, secret = (await ring.seen()).active.kid, rules.new_secret()
    platform = SystemContext(PLATFORM_TENANT, "platform", "auth")
    async with ring.database.tenant(platform) as session:
        await operators.create(session, "b@example.com", "Without", "none", None, KEY)
        made = await operators.create(session, "a@example.com", "Opal", "none", secret, KEY)
        operator_id = made.operator_id
        await session.commit()
    with pytest.raises(Unreadable, match=f"{kid} is sealed with the encryption key {KEY.current}, which"):
        await KeyRing(ring.database, new).keys()
    assert [done.count for done in await reseal(ring, both)] == [1, 1]
    assert [done.count for done in await reseal(ring, both)] == [0, 0]
    assert (await KeyRing(ring.database, new).keys()).active.kid == kid
    async with ring.database.tenant(platform) as session:
        row = await lock_operator(session, operator_id)
        assert row is not None
        code = pyotp.TOTP(secret).at(clock.now())
        assert await operators.use_code(session, row, code, clock.now(), new)
    told = await ring.execute(
        "SELECT data FROM tenancy.outbox WHERE type LIKE '%SecretsResealed%' ORDER BY id"
    )
    assert [json.loads(row["data"])["kind"] for row in told] == [
        "signing_keys.private_key",
        "operators.totp_secret",
    ]
