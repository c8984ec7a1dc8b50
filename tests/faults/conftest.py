"""Each fault begins on a platform that works again after the one before."""

import pytest

from penguinmails.stack import Stack
from tests.e2e.client import Platform, Tenant, eventually


@pytest.fixture(scope="session")
def kafka(stack: Stack) -> str:
    """Bootstrap address of the platform's broker."""
    return str(stack.env()["kafka"])


@pytest.fixture
async def tenant(platform: Platform) -> Tenant:
    """A tenant of the test's own, as soon as sign-up works; its plan allows as many requests as the load."""

    async def sign_up() -> Tenant | None:
        answer = await platform.try_sign_up("Resilient Ltd", "enterprise")
        return answer if isinstance(answer, Tenant) else None

    return await eventually(sign_up, within=60, every=0.3)
