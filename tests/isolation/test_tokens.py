"""The memory of verified tokens never says yes where a fresh look would say no."""

from collections.abc import Awaitable, Callable
from datetime import timedelta

import jwt
import pytest

from common import clock
from common.errors import Unauthenticated
from common.ids import new_id
from common.testing.harness import Harness
from common.testing.issuer import TokenIssuer
from common.web.tokens import Claims, TokenVerifier
from tests.isolation.installation import World


@pytest.fixture
async def harness(worlds: Callable[[str], Awaitable[World]]) -> Harness:
    return (await worlds("campaigns")).harness


@pytest.fixture
def issuer(harness: Harness) -> TokenIssuer:
    return harness.issuer


@pytest.fixture
def verifier(harness: Harness, issuer: TokenIssuer) -> TokenVerifier:
    """A verifier of the test's own that has never seen a token."""
    made = TokenVerifier(harness.kernel.settings)
    made.keys.install(jwt.PyJWKSet.from_dict(issuer.jwks()))
    return made


async def test_a_remembered_token_vouches_for_no_other(issuer: TokenIssuer, verifier: TokenVerifier) -> None:
    """Not for one with the same claims and another signature, nor for one with other claims."""
    token = issuer.token(new_id(), new_id())
    await verifier.verify(token)
    head, claims, signature = token.split(".")
    other_claims = issuer.token(new_id(), new_id()).split(".")[1]
    for forged in (
        f"{head}.{claims}.",
        f"{head}.{claims}.{signature[::-1]}",
        f"{head}.{other_claims}.{signature}",
    ):
        with pytest.raises(Unauthenticated):
            await verifier.verify(forged)
    assert (await verifier.verify(token)) == (await verifier.verify(token))


async def test_a_remembered_token_expires(
    issuer: TokenIssuer, verifier: TokenVerifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Past its expiry it is looked at afresh."""
    looked: list[str] = []
    look = verifier._users._check

    async def counted(token: str) -> Claims:
        looked.append(token)
        return await look(token)

    monkeypatch.setattr(verifier._users, "_check", counted)
    token = issuer.token(new_id(), new_id())
    expiry = (await verifier.verify(token)).expires_at
    await verifier.verify(token)
    assert looked == [token], "remembered"
    monkeypatch.setattr(clock, "now", lambda: expiry + timedelta(seconds=1))
    await verifier.verify(token)
    assert looked == [token, token]


@pytest.mark.parametrize("changes", [{"kid": "successor"}, {}], ids=["another name", "the same name"])
async def test_a_remembered_token_ends_with_its_key(
    issuer: TokenIssuer, verifier: TokenVerifier, changes: dict[str, str]
) -> None:
    token = issuer.token(new_id(), new_id())
    await verifier.verify(token)
    (key,) = TokenIssuer().jwks()["keys"]
    verifier.keys.install(jwt.PyJWKSet.from_dict({"keys": [{**key, **changes}]}))
    with pytest.raises(Unauthenticated):
        await verifier.verify(token)
