"""What the routes of this service share beyond the kernel, made by `create_app`."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends
from starlette.requests import Request

from auth.key.ring import KeyRing
from auth.password.hashing import Hasher
from auth.settings import AuthSettings, settings_of
from common.web.kernel import Kernel


@dataclass(frozen=True, slots=True)
class AuthParts:
    settings: AuthSettings
    keys: KeyRing
    hasher: Hasher


def make_parts(kernel: Kernel) -> AuthParts:
    settings = settings_of(kernel)
    return AuthParts(
        settings=settings,
        keys=KeyRing(kernel.database, settings.key_encryption_key.get_secret_value()),
        hasher=Hasher(settings.password_threads, settings.password_queue),
    )


async def get_parts(request: Request) -> AuthParts:
    parts: AuthParts = request.app.state.parts
    return parts


Parts = Annotated[AuthParts, Depends(get_parts)]
