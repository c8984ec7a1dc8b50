"""What the routes of this service share beyond the kernel, made by `create_app`."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends
from starlette.requests import Request

from auth.key.ring import KeyRing
from auth.login.throttle import Patience, Throttle
from auth.login.turns import Turns
from auth.password.costs import CostsInUse
from auth.password.hashing import Hasher
from auth.settings import AuthSettings, settings_of
from common.web.kernel import Kernel


@dataclass(frozen=True, slots=True)
class AuthParts:
    settings: AuthSettings
    keys: KeyRing
    hasher: Hasher
    costs: CostsInUse
    address_throttle: Throttle
    ip_throttle: Throttle
    turns: Turns


def make_parts(kernel: Kernel) -> AuthParts:
    settings = settings_of(kernel)
    return AuthParts(
        settings=settings,
        keys=KeyRing(kernel.database, settings.encryption_keys),
        hasher=Hasher(settings.password_threads, settings.password_queue),
        costs=CostsInUse(),
        address_throttle=_throttle(kernel, settings, "address", settings.login_failures_per_address),
        ip_throttle=_throttle(kernel, settings, "network", settings.login_failures_per_ip),
        turns=Turns(),
    )


def _throttle(kernel: Kernel, settings: AuthSettings, name: str, free: int) -> Throttle:
    patience = Patience(free, settings.login_longest_wait, settings.login_forget_after)
    return Throttle(name, patience, kernel.rate_limiter.store, settings.link_secret.get_secret_value())


async def get_parts(request: Request) -> AuthParts:
    parts: AuthParts = request.app.state.parts
    return parts


Parts = Annotated[AuthParts, Depends(get_parts)]
