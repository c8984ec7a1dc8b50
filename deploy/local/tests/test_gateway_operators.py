"""The gateway and operators: tokens of their own, refused like anybody's when something is wrong."""

import time
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from deploy.local.tests.test_gateway import assert_problem


def test_operators_have_tokens_of_their_own(edge: Any) -> None:
    operator = edge.token(aud="penguinmails-platform")
    for path, service in {
        "/api/v1/platform/tenants/tenant_1": "tenants",
        "/api/v1/platform/provisioning": "tenants",
        "/api/v1/platform/deletions/tenant_1/run": "tenants",
        "/api/v1/platform/exports": "tenants",
        "/api/v1/platform/billing/reconciliations": "tenants",
        "/api/v1/platform/suppressions": "campaigns",
        "/api/v1/platform/audit/findings": "audit",
        "/api/v1/platform/auth/me": "auth",
    }.items():
        assert edge.ask("GET", path, token=operator).json["service"] == service
        assert edge.ask("GET", path, token=edge.token()).status == 401
    for path in ("/users", "/auth/me", "/tenants/tenant_1", "/workspaces", "/campaigns", "/audit/events"):
        assert edge.ask("GET", f"/api/v1{path}", token=operator).status == 401


def test_forged_and_expired_tokens_of_operators_are_refused_alike(edge: Any) -> None:
    stranger = ec.generate_private_key(ec.SECP256R1())

    def operator(**changes: Any) -> str:
        token: str = edge.token(**{"aud": "penguinmails-platform", **changes})
        return token

    tokens = {
        "none": None,
        "expired": operator(exp=time.time() - 60),
        "not yet": operator(nbf=time.time() + 600),
        "no expiry": operator(exp=None),
        "issuer": operator(iss="https://other.example"),
        "a user's": edge.token(),
        "no audience": operator(aud=None),
        "forged": operator(key=stranger),
        "HS256": operator(key="x" * 32, algorithm="HS256"),
        "none algorithm": operator(key="", algorithm="none"),
    }
    bodies = set()
    for token in tokens.values():
        answer = edge.ask("GET", "/api/v1/platform/tenants", token=token)
        assert_problem(answer, 401, "unauthenticated")
        bodies.add(str({**answer.json, "trace_id": ""}))
    assert len(bodies) == 1
    assert edge.ask("GET", "/api/v1/platform/tenants", token=operator()).status == 200
