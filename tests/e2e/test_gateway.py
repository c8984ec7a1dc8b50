"""What the gateway and the services behind it refuse, alike."""

import asyncio
import json
import re
from typing import Any

import httpx
import jwt
import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric import ec

from common.testing.minutes import within_a_minute
from penguinmails.home import REPOSITORY
from penguinmails.stack import Stack
from tests.e2e.client import Platform, Tenant

ROUTES = {
    "auth": "/api/v1/auth/me",
    "workspaces": "/api/v1/workspaces",
    "campaigns": "/api/v1/campaigns",
    "audit": "/api/v1/audit/events",
}


def forgeries(token: str) -> dict[str, str]:
    """Tokens that must not work, made from one that does."""
    header, payload, signature = token.split(".")
    claims = jwt.decode(token, options={"verify_signature": False})
    head = jwt.get_unverified_header(token)
    stranger = ec.generate_private_key(ec.SECP256R1())

    def signed(changes: dict[str, Any] | None = None, **headers: Any) -> str:
        values = {"kid": head["kid"], "typ": head["typ"], **headers}
        return jwt.encode({**claims, **(changes or {})}, stranger, algorithm="ES256", headers=values)

    flipped = signature[:10] + ("A" if signature[10] != "A" else "B") + signature[11:]
    return {
        "another key": signed(),
        "another key, unknown kid": signed(kid="nobody"),
        "no algorithm": jwt.encode(claims, None, algorithm="none", headers={"kid": head["kid"]}),
        "shared secret": jwt.encode(claims, "s" * 32, algorithm="HS256", headers={"kid": head["kid"]}),
        "flipped signature": f"{header}.{payload}.{flipped}",
        "no signature": f"{header}.{payload}.",
        "garbage": "garbage",
    }


@pytest.mark.parametrize("service", ROUTES)
async def test_forged_tokens_are_refused_at_the_gateway_and_at_the_service(
    platform: Platform, tenant: Tenant, environment: dict[str, Any], service: str
) -> None:
    path = ROUTES[service]
    honest = await platform.http.get(path, headers=tenant.headers)
    assert honest.status_code == 200, "the true token works"
    async with httpx.AsyncClient() as direct:
        for base in ("", environment["services"][service]):
            bodies: set[str] = set()
            for name, token in {**forgeries(tenant.token), "none": ""}.items():
                headers = {"Authorization": f"Bearer {token}"} if token else {}
                client = direct if base else platform.http
                answer = await client.get(f"{base}{path}", headers=headers)
                assert answer.status_code == 401, f"{name} at {base or 'the gateway'}"
                assert answer.headers["content-type"] == "application/problem+json"
                assert "Bearer" in answer.headers["www-authenticate"]
                document = answer.json()
                document.pop("trace_id")
                bodies.add(json.dumps(document, sort_keys=True))
            assert len(bodies) == 1, "the reason cannot be told from the body"


async def test_internal_paths_are_not_routed(platform: Platform, tenant: Tenant) -> None:
    for path in (
        "/internal/tokens",
        "/api/v1/internal/tokens",
        "/health/ready",
        "/health/serving",
        "/api/v1/auth/../../internal/tokens",
    ):
        answer = await platform.http.post(path, headers=tenant.headers, json={})
        assert answer.status_code in (400, 404), path
        assert answer.json()["code"] in ("not_found", "bad_request"), answer.text


async def test_client_sent_identity_and_trace_headers_change_nothing(
    platform: Platform, tenant: Tenant, other: Tenant
) -> None:
    forged_trace = "00-11111111111111111111111111111111-2222222222222222-01"
    answer = await platform.http.get(
        "/api/v1/auth/me",
        headers={
            **tenant.headers,
            "x-user-id": other.owner_user_id,
            "x-internal-tenant": other.tenant_id,
            "traceparent": forged_trace,
        },
    )
    assert answer.json()["tenant_id"] == tenant.tenant_id
    assert answer.headers["X-Trace-Id"] != "1" * 32


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b'{"name": "x", "surprise": 1}', 422),
        (b'{"name": "a\\u0000b"}', 422),
        (b'{"name": "\\ud800"}', 422),
        (b"{", 422),
        (b"[" * 50_000, 422),
        (b'{"name": "' + b"x" * 2_000_000 + b'"}', 413),
        (b"\xff\xfe", 422),
        (b"null", 422),
        (b"", 422),
    ],
)
async def test_bad_bodies_are_refused_with_a_problem(
    platform: Platform, tenant: Tenant, content: bytes, status: int
) -> None:
    headers = {**tenant.headers, "Content-Type": "application/json"}
    answer = await platform.http.post("/api/v1/workspaces", headers=headers, content=content)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    document = answer.json()
    assert {"type", "title", "status", "detail", "instance", "code", "trace_id"} <= document.keys()


async def test_unknown_paths_and_methods_are_problems(platform: Platform, tenant: Tenant) -> None:
    unknown = await platform.http.get("/api/v1/nothing", headers=tenant.headers)
    assert (unknown.status_code, unknown.json()["code"]) == (404, "not_found")
    wrong = await platform.http.put("/api/v1/workspaces", headers=tenant.headers, json={})
    assert (wrong.status_code, wrong.json()["code"]) == (405, "method_not_allowed")
    assert wrong.headers["allow"] == "GET, POST", "of all routes with this path"


@within_a_minute
async def test_the_rate_limit_is_shown_through_the_gateway(platform: Platform, tenant: Tenant) -> None:
    left: list[int] = []
    for path in ROUTES.values():
        answer = await platform.http.get(path, headers=tenant.headers)
        assert answer.status_code == 200
        assert answer.headers["RateLimit-Policy"] == '"tenant";q=300;w=60'
        shown = re.fullmatch(r'"tenant";r=(\d+);t=(\d+)', answer.headers["RateLimit"])
        assert shown
        assert 1 <= int(shown[2]) <= 60
        left.append(int(shown[1]))
        nobody = await platform.http.get(path)
        assert nobody.status_code == 401
        assert "RateLimit" not in nobody.headers
    assert left == sorted(set(left), reverse=True), "one count, whichever service is asked"
    assert max(left) < 300


async def test_a_tenant_over_its_limit_hears_it_through_the_gateway_and_the_other_does_not(
    platform: Platform, tenant: Tenant, other: Tenant
) -> None:
    async def ask(_: int) -> httpx.Response:
        return await platform.http.get(ROUTES["workspaces"], headers=tenant.headers)

    answers = await asyncio.gather(*map(ask, range(50)))
    while all(answer.status_code == 200 for answer in answers):
        answers = await asyncio.gather(*map(ask, range(50)))
    refused = next(answer for answer in answers if answer.status_code != 200)
    assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")
    assert refused.headers["content-type"] == "application/problem+json"
    assert 1 <= int(refused.headers["Retry-After"]) <= 60
    assert refused.headers["RateLimit"].startswith('"tenant";r=0;')
    elsewhere = [await platform.http.get(path, headers=tenant.headers) for path in ROUTES.values()]
    left = [int(re.findall(r"r=(\d+)", answer.headers["RateLimit"])[0]) for answer in elsewhere]
    assert max(left) < 100, "no more in another service, but for what a new minute gives back"
    unharmed = [await platform.http.get(path, headers=other.headers) for path in ROUTES.values()]
    assert {answer.status_code for answer in unharmed} == {200}


async def test_the_probe_of_containers_understands_the_gateway(stack: Stack) -> None:
    compose = yaml.safe_load((REPOSITORY / "docker-compose.yml").read_text())
    *_, script = compose["services"]["gateway"]["healthcheck"]["test"]
    assert script in (REPOSITORY / "deploy" / "helm" / "templates" / "gateway.yaml").read_text()
    for port, status in ((stack.config.ports["gateway_admin"], 0), (stack.config.ports["gateway"], 1)):
        probe = await asyncio.create_subprocess_exec("bash", "-c", script.replace("9901", str(port)))
        assert await asyncio.wait_for(probe.wait(), 10) == status
