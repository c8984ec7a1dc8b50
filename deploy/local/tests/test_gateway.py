"""What the gateway promises, tried on a real Envoy."""

import re
import socket
import time
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from common.errors import type_of

PROBLEM = {"type", "title", "status", "detail", "instance", "code", "trace_id"}
UNTRACED = "0" * 32


def assert_problem(answer: Any, status: int, code: str) -> None:
    assert answer.status == status, answer.body
    assert answer.headers["content-type"] == "application/problem+json"
    assert set(answer.json) == PROBLEM
    assert (answer.json["status"], answer.json["code"]) == (status, code)
    assert answer.json["type"] == type_of(code), "as the services have it"
    assert re.fullmatch(r"[0-9a-f]{32}", answer.json["trace_id"])
    assert answer.headers.get("x-trace-id", UNTRACED) == answer.json["trace_id"]
    assert (answer.json["trace_id"] == UNTRACED) is (status in {400, 403, 431})


@pytest.mark.parametrize(
    ("path", "service"),
    [
        ("/api/v1/auth/me", "auth"),
        ("/api/v1/users", "auth"),
        ("/api/v1/invitations/inv_1", "auth"),
        ("/api/v1/api-keys", "auth"),
        ("/api/v1/tenants/tenant_1/settings", "tenants"),
        ("/api/v1/tenants/tenant_1/provisioning", "tenants"),
        ("/api/v1/billing/plan", "tenants"),
        ("/api/v1/workspaces", "workspaces"),
        ("/api/v1/workspaces/ws_1/members", "workspaces"),
        ("/api/v1/campaigns/camp_1", "campaigns"),
        ("/api/v1/contacts", "campaigns"),
        ("/api/v1/lists", "campaigns"),
        ("/api/v1/segments", "campaigns"),
        ("/api/v1/templates", "campaigns"),
        ("/api/v1/domains", "campaigns"),
        ("/api/v1/analytics/opens", "campaigns"),
        ("/api/v1/suppressions", "campaigns"),
        ("/api/v1/audit/events?flag=x", "audit"),
        ("/api/v1/audit/events/stream", "audit"),
        ("/console", "audit"),
    ],
)
def test_users_reach_the_owner_of_a_path_with_a_token_only(edge: Any, path: str, service: str) -> None:
    answer = edge.ask("GET", path, token=edge.token())
    assert (answer.status, answer.json["service"], answer.json["path"]) == (200, service, path)
    assert answer.json["headers"]["authorization"].startswith("Bearer ey")
    assert_problem(edge.ask("GET", path), 401, "unauthenticated")


@pytest.mark.parametrize(
    ("method", "path", "service"),
    [
        ("POST", "/api/v1/tenants", "tenants"),
        ("GET", "/api/v1/tenants/provisioning/abc.def", "tenants"),
        ("POST", "/api/v1/auth/login", "auth"),
        ("POST", "/api/v1/auth/mfa", "auth"),
        ("POST", "/api/v1/auth/refresh", "auth"),
        ("POST", "/api/v1/auth/token", "auth"),
        ("POST", "/api/v1/auth/password/forgot", "auth"),
        ("POST", "/api/v1/auth/password/reset", "auth"),
        ("POST", "/api/v1/auth/email/verify", "auth"),
        ("POST", "/api/v1/invitations/accept", "auth"),
        ("POST", "/api/v1/platform/auth/login", "auth"),
        ("POST", "/api/v1/platform/auth/mfa", "auth"),
        ("GET", "/.well-known/openid-configuration", "auth"),
        ("GET", "/openapi.json", "tenants"),
        ("GET", "/docs", "tenants"),
        ("GET", "/docs/assets/a.js", "tenants"),
        ("POST", "/api/v1/webhooks/stripe", "tenants"),
        ("POST", "/api/v1/webhooks/bounces", "campaigns"),
        ("GET", "/t/abc", "campaigns"),
        ("POST", "/u/abc", "campaigns"),
    ],
)
def test_public_routes_need_no_token(edge: Any, method: str, path: str, service: str) -> None:
    answer = edge.ask(method, path)
    assert (answer.status, answer.json["service"], answer.json["path"]) == (200, service, path)


@pytest.mark.parametrize(
    ("path", "service", "rewritten"),
    [
        ("/api/v1/.well-known/jwks", "auth", "/.well-known/jwks"),
        ("/api/v1/openapi.json", "tenants", "/openapi.json"),
    ],
)
def test_documents_are_served_below_the_base_path_too(
    edge: Any, path: str, service: str, rewritten: str
) -> None:
    answer = edge.ask("GET", path)
    assert (answer.json["service"], answer.json["path"]) == (service, rewritten)


def test_without_the_token_keys_it_asks_to_come_back_and_calls_no_token_bad(keyless_edge: Any) -> None:
    """As after a restart of the gateway while auth does not answer."""
    token = keyless_edge.token()
    answer = keyless_edge.ask("GET", "/api/v1/campaigns", token=token)
    assert_problem(answer, 503, "upstream_unavailable")
    assert answer.headers["retry-after"]
    assert "invalid_token" not in answer.headers["www-authenticate"]
    assert_problem(keyless_edge.ask("GET", "/api/v1/campaigns"), 401, "unauthenticated")
    keyless_edge.publish_keys()
    assert keyless_edge.ask("GET", "/api/v1/campaigns", token=token).status == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/v1/tenants"),
        ("PUT", "/api/v1/tenants"),
        ("POST", "/api/v1/tenants/"),
        ("POST", "/api/v1/tenants;x"),
        ("POST", "/api/v1//tenants"),
        ("POST", "/API/v1/tenants"),
        ("POST", "/api/v1/Tenants"),
        ("POST", "/api/v1/tenantsx"),
        ("POST", "/api/v1/tenants/provisioning"),
        ("POST", "/api/v1/tenants/provisioning/abc"),
        ("GET", "/api/v1/auth/login"),
        ("POST", "/api/v1/auth/login/"),
        ("POST", "/api/v1/auth/login;a=b"),
        ("POST", "/api/v1/auth/login/../me"),
        ("POST", "/api/v1/auth/login/%2e%2e/me"),
        ("POST", "/api/v1/auth/Login"),
        ("GET", "/api/v1/auth//me"),
        ("GET", "/t/../api/v1/campaigns"),
        ("GET", "/u/%2e%2e/api/v1/campaigns"),
        ("GET", "/docs/../api/v1/tenants/tenant_1"),
        ("GET", "/api/v1/platform/auth/me"),
        ("POST", "/api/v1/platform/auth/me"),
        ("POST", "/api/v1/platform/auth/login/"),
        ("GET", "/api/v1/platform/auth/mfa"),
    ],
)
def test_no_spelling_makes_a_private_path_public(edge: Any, method: str, path: str) -> None:
    before = sum(len(upstream.seen) for upstream in edge.upstreams.values() if upstream.name != "collector")
    answer = edge.ask(method, path)
    assert answer.status in {401, 404}, answer.body
    seen = sum(len(upstream.seen) for upstream in edge.upstreams.values() if upstream.name != "collector")
    assert seen == before


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/auth%2flogin",
        "/api/v1/auth%5Clogin",
        "/t/..%2fapi/v1/campaigns",
        "/api/v1/tenants%00",
        "/t/x#y",
    ],
)
def test_ambiguous_paths_are_refused(edge: Any, path: str) -> None:
    assert_problem(edge.ask("POST", path), 400, "bad_request")


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/internal/tokens",
        "/health",
        "/health/ready",
        "/health/serving",
        "/metrics",
        "/api/v1",
        "/api/v1/nothing",
        "/api/v2/users",
    ],
)
def test_the_rest_is_not_there_even_with_a_token(edge: Any, path: str) -> None:
    for token in (None, edge.token()):
        answer = edge.ask("GET", path, token=token)
        assert_problem(answer, 404, "not_found")
        assert answer.json["instance"] == path


def test_a_401_says_the_same_whatever_was_wrong(edge: Any) -> None:
    stranger = ec.generate_private_key(ec.SECP256R1())
    good = edge.token()
    tokens = {
        "none": None,
        "garbage": "garbage",
        "expired": edge.token(exp=time.time() - 60),
        "not yet": edge.token(nbf=time.time() + 600),
        "no expiry": edge.token(exp=None),
        "issuer": edge.token(iss="https://other.example"),
        "audience": edge.token(aud="penguinmails-platform"),
        "no audience": edge.token(aud=None),
        "forged": edge.token(key=stranger),
        "changed": good[:-8] + "AAAAAAAA",
        "HS256": edge.token(key="x" * 32, algorithm="HS256"),
        "none algorithm": edge.token(key="", algorithm="none"),
    }
    bodies = set()
    for reason, token in tokens.items():
        answer = edge.ask("GET", "/api/v1/auth/me", token=token)
        assert_problem(answer, 401, "unauthenticated")
        assert answer.headers["www-authenticate"] == 'Bearer error="invalid_token"', reason
        bodies.add(str({**answer.json, "trace_id": ""}))
    assert len(bodies) == 1
    assert edge.ask("GET", f"/api/v1/auth/me?access_token={good}").status == 401
    assert edge.ask("GET", "/api/v1/auth/me", token=good).status == 200


def test_headers_of_ours_cannot_be_sent_by_clients(edge: Any) -> None:
    trace = "00-11111111111111111111111111111111-2222222222222222-00"
    sent = {
        "X-User-Id": "user_evil",
        "x-user-role": "owner",
        "X-Internal-Service": "auth",
        "x-envoy-original-path": "/internal/x",
        "x-envoy-max-retries": "9",
        "x-envoy-upstream-rq-timeout-ms": "1",
        "X-Forwarded-For": "6.6.6.6",
        "X-Forwarded-Host": "evil.example",
        "X-Forwarded-Proto": "https",
        "Forwarded": "for=6.6.6.6",
        "X-Real-IP": "6.6.6.6",
        "X-Original-URL": "/internal",
        "X-HTTP-Method-Override": "DELETE",
        "traceparent": trace,
        "tracestate": "evil=1",
        "baggage": "tenant=evil",
        "X-Tenant-ID": "tenant_claimed",
        "Idempotency-Key": "k",
    }
    got = edge.ask("GET", "/api/v1/users", headers=sent, token=edge.token()).json["headers"]
    kept = {
        "x-forwarded-for",
        "x-forwarded-proto",
        "traceparent",
        "tracestate",
        "x-tenant-id",
        "idempotency-key",
    }
    assert {name.lower() for name in sent} & got.keys() == kept
    assert got["x-forwarded-for"] == "127.0.0.1"
    assert got["x-forwarded-proto"] == "http"
    assert got["tracestate"] == ""
    assert got["x-tenant-id"] == "tenant_claimed"
    assert "evil" not in str(got)
    assert trace.split("-")[1] not in got["traceparent"]
    assert got["traceparent"].endswith("-01")


def test_a_request_id_is_echoed_or_made(edge: Any) -> None:
    made = edge.ask("GET", "/api/v1/users", token=edge.token())
    assert re.fullmatch(r"[0-9a-f-]{36}", made.headers["x-request-id"])
    assert made.json["headers"]["x-request-id"] == made.headers["x-request-id"]
    echoed = edge.ask("GET", "/api/v1/users", headers={"X-Request-Id": "order-66"}, token=edge.token())
    assert echoed.headers["x-request-id"] == "order-66"
    assert echoed.json["headers"]["x-request-id"] == "order-66"
    assert (
        edge.ask("GET", "/nothing", headers={"X-Request-Id": "order-67"}).headers["x-request-id"]
        == "order-67"
    )


def test_every_request_is_traced_without_its_query(edge: Any) -> None:
    told = {"X-Request-Id": "not-a-uuid", "User-Agent": "Mozilla of ada@acme.example"}
    answer = edge.ask("GET", "/t/x?token=secret", headers=told)
    trace_id = answer.json["headers"]["traceparent"].split("-")[1]
    span = _await_span(edge, trace_id)
    attributes = {attribute.key: attribute.value.string_value for attribute in span.attributes}
    assert span.name == "GET tracking"
    assert attributes["http.route"] == "tracking"
    assert attributes["app.request.id"] == "not-a-uuid"
    assert "secret" not in str(span)
    assert "acme" not in str(span)
    assert "127.0.0.1" not in [attributes.get(name) for name in ("peer.address", "client.address")]


def test_requests_that_are_left_out_are_recorded_by_nobody(untraced_edge: Any) -> None:
    answer = untraced_edge.ask("GET", "/t/o/secret")
    assert answer.json["headers"]["traceparent"].endswith("-00"), "services follow the gateway"


def _await_span(edge: Any, trace_id: str) -> Any:
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        for span in edge.upstreams["collector"].spans:
            if span.trace_id.hex() == trace_id:
                return span
        time.sleep(0.02)
    raise AssertionError(f"no span of trace {trace_id}")


def test_answers_tell_nothing_of_the_inside(edge: Any) -> None:
    headers = edge.ask("GET", "/api/v1/users", token=edge.token()).headers
    assert headers["server"] == "gateway"
    assert re.fullmatch(r"[0-9a-f]{32}", headers["x-trace-id"])
    assert not [name for name in headers if name.startswith("x-envoy")]


def test_bodies_are_limited_to_a_mebibyte(edge: Any) -> None:
    token, limit = edge.token(), 1 << 20
    assert edge.ask("POST", "/api/v1/contacts", body=b"x" * limit, token=token).json["length"] == limit
    assert_problem(
        edge.ask("POST", "/api/v1/contacts", body=b"x" * (limit + 1), token=token), 413, "payload_too_large"
    )
    chunks = b"".join(b"10000\r\n" + b"x" * 65536 + b"\r\n" for _ in range(17)) + b"0\r\n\r\n"
    head = f"POST /api/v1/contacts HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n"
    assert edge.raw(head.encode() + b"Transfer-Encoding: chunked\r\n\r\n" + chunks).status == 413


def test_imports_are_not_limited_here(edge: Any) -> None:
    size = 5 << 20
    answer = edge.ask("POST", "/api/v1/contacts/import", body=b"x" * size, token=edge.token())
    assert (answer.status, answer.json["length"]) == (200, size)
    assert edge.ask("POST", "/api/v1/contacts/import", body=b"x").status == 401


@pytest.mark.parametrize(
    ("request_head", "status"),
    [
        (b"GET /api/v1/users HTTP/1.1\r\n\r\n", 400),
        (b"GET /t/x HTTP/1.1\r\nHost: x\r\nx_user_id: 1\r\n\r\n", 400),
        (b"POST /t/x HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"GET /t/x HTTP/1.1\r\nHost: x\r\nx-long: " + b"y" * 40000 + b"\r\n\r\n", 431),
        (
            b"GET /t/x HTTP/1.1\r\nHost: x\r\n" + b"".join(b"a%d: 1\r\n" % n for n in range(101)) + b"\r\n",
            431,
        ),
        (b"NONSENSE\r\n\r\n", 400),
        (b"CONNECT x:443 HTTP/1.1\r\nHost: x:443\r\n\r\n", 401),
        (b"CONNECT /t/x HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"TRACE /t/x HTTP/1.1\r\nHost: x\r\n\r\n", 404),
        (b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", 404),
        (b"GET http://x/internal/y HTTP/1.1\r\nHost: x\r\n\r\n", 404),
    ],
)
def test_malformed_requests_are_refused(edge: Any, request_head: bytes, status: int) -> None:
    answer = edge.raw(request_head)
    assert (answer.status, answer.headers["content-type"]) == (status, "application/problem+json")


def test_upgrades_are_refused(edge: Any) -> None:
    upgrade = {"Connection": "Upgrade", "Upgrade": "websocket"}
    assert_problem(
        edge.ask("GET", "/api/v1/users", headers=upgrade, token=edge.token()), 403, "upgrade_forbidden"
    )


def test_a_slow_service_is_cut_off(edge: Any) -> None:
    assert_problem(edge.ask("GET", "/t/hang"), 504, "upstream_timeout")


def test_a_broken_answer_is_a_503_and_a_write_is_sent_once(edge: Any) -> None:
    answer = edge.ask("POST", "/api/v1/billing/break", token=edge.token())
    assert_problem(answer, 503, "upstream_unavailable")
    assert answer.headers["retry-after"] == "1"
    assert edge.upstreams["tenants"].seen.count("POST /api/v1/billing/break") == 1


def test_errors_of_a_service_pass_unchanged(edge: Any) -> None:
    answer = edge.ask("GET", "/api/v1/billing/sick", token=edge.token())
    assert (answer.status, answer.headers["content-type"]) == (503, "application/json")
    assert answer.json["service"] == "tenants"


def test_errors_of_a_service_do_not_put_it_aside(edge: Any) -> None:
    for _ in range(12):
        assert edge.ask("GET", "/api/v1/billing/sick", token=edge.token()).status == 503
    assert edge.ask("GET", "/api/v1/billing/plan", token=edge.token()).status == 200


def test_a_sick_service_is_a_503_at_once_and_comes_back(edge: Any) -> None:
    upstream = edge.upstreams["workspaces"]
    upstream.healthy = False
    try:
        edge.await_stat("cluster.workspaces.membership_healthy", 0)
        began = time.monotonic()
        answer = edge.ask("GET", "/api/v1/workspaces", token=edge.token())
        assert time.monotonic() - began < 0.5
        assert_problem(answer, 503, "upstream_unavailable")
        assert answer.headers["retry-after"] == "1"
    finally:
        upstream.healthy = True
    edge.await_stat("cluster.workspaces.membership_healthy", 1)
    while edge.ask("GET", "/api/v1/workspaces", token=edge.token()).status != 200:
        assert time.monotonic() - began < 5


def test_its_port_is_nobody_elses(edge: Any) -> None:
    """A second gateway on it must fail, rather than get every other connection."""
    with socket.socket() as second:
        second.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        with pytest.raises(OSError, match="in use"):
            second.bind(("127.0.0.1", edge.port))
