"""Routes `/.well-known/…`: the public keys, and where everything is."""

from typing import Any, cast

from fastapi import APIRouter
from starlette.responses import JSONResponse

from auth.key.pairs import ALGORITHM
from auth.parts import Parts
from common.web.routes import PUBLIC_PROBLEMS, PublicRoute

router = APIRouter(prefix="/.well-known", tags=["keys"], route_class=PublicRoute, responses=PUBLIC_PROBLEMS)

_CACHEABLE = {"Cache-Control": "public, max-age=60"}


class JwkSet(JSONResponse):
    media_type = "application/jwk-set+json"


@router.get("/jwks.json", operation_id="getJwks", response_class=JwkSet)
async def get_jwks(parts: Parts) -> dict[str, list[dict[str, str]]]:
    """The public keys of access tokens (RFC 7517)."""
    keys = await parts.keys.keys()
    return cast(Any, JwkSet({"keys": list(keys.published)}, headers=_CACHEABLE))


@router.get("/openid-configuration", operation_id="getOpenIdConfiguration")
async def get_configuration(parts: Parts) -> dict[str, Any]:
    """Metadata for gateways and libraries that discover issuer and keys (RFC 8414)."""
    base = str(parts.settings.public_url).rstrip("/")
    document = {
        "issuer": parts.settings.token_issuer,
        "jwks_uri": f"{base}/.well-known/jwks.json",
        "id_token_signing_alg_values_supported": [ALGORITHM],
        "access_token_signing_alg_values_supported": [ALGORITHM],
        "response_types_supported": ["token"],
        "subject_types_supported": ["public"],
    }
    return cast(Any, JSONResponse(document, headers=_CACHEABLE))
