"""The auth service, which issues the tokens that answer a sign-up."""

from dataclasses import dataclass
from uuid import UUID

import httpx
from opentelemetry.trace import SpanKind

from common import telemetry
from common.context import RequestInfo
from common.ids import Kind, to_text
from common.web.calls import make_client
from common.web.service_tokens import make_service_token
from tenants.settings import TenantsSettings


class AuthAway(Exception):
    """No answer, or none that helps; asking again may."""


class OwnerLogsIn(Exception):
    """The owner has a password: tokens come from logging in."""


@dataclass(frozen=True, slots=True)
class Tokens:
    access_token: str
    token_type: str
    expires_in: int
    refresh_token: str


class AuthService:
    """Calls `auth` with this service's own tokens."""

    def __init__(self, settings: TenantsSettings) -> None:
        self._key = settings.service_signing_key
        self._url = f"{settings.auth_url.rstrip('/')}/internal/tokens"
        self._client: httpx.AsyncClient | None = None

    async def issue_tokens(
        self, tenant_id: UUID, user_id: UUID, request: RequestInfo, patience: float
    ) -> Tokens:
        """Tokens of a new session of the user. `patience` in seconds.

        Raises:
            AuthAway, OwnerLogsIn: there are none.
        """
        body = {
            "tenant_id": to_text(Kind.TENANT, tenant_id),
            "user_id": to_text(Kind.USER, user_id),
            "ip": request.ip,
            "user_agent": request.user_agent,
        }
        with telemetry.span("POST auth /internal/tokens", SpanKind.CLIENT):
            answer = await self._post(body, request.request_id, patience)
        if answer.status_code == 409:
            raise OwnerLogsIn
        if answer.status_code != 201:
            raise AuthAway(f"status {answer.status_code}")
        return Tokens(**answer.json())

    async def _post(self, body: dict[str, str], request_id: str, patience: float) -> httpx.Response:
        token = make_service_token(self._key.get_secret_value(), "tenants", "auth")
        headers = {"Authorization": f"Bearer {token}", "X-Request-Id": request_id, **telemetry.carrier()}
        self._client = self._client or make_client()
        try:
            return await self._client.post(self._url, json=body, headers=headers, timeout=patience)
        except httpx.HTTPError as error:
            raise AuthAway from error
