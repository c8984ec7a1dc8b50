"""Breakages of who a caller is: the tenants that a request names, and its token."""

from tests.isolation.mutations.mutation import Edit, code

_WEB = "libs/common/src/common/web"
_ROUTES, _TOKENS = f"{_WEB}/routes.py", f"{_WEB}/tokens.py"
_HANDLERS, _SERVICE_TOKENS = f"{_WEB}/error_handlers.py", f"{_WEB}/service_tokens.py"
_PLATFORM = f"{_WEB}/platform.py"
_DECODED = '"require": self._required, "strict_aud": True'

_NAMING = "test_routes.py::test_naming_another_tenant_is_forbidden"
_FORGED = "test_routes.py::test_forged_tokens_are_refused_alike"

NAMED_TENANTS = (
    code(
        "named tenants not compared",
        _NAMING,
        Edit(_ROUTES, "    if foreign:\n", "    if False:\n"),
    ),
    code(
        "the X-Tenant-ID header not compared",
        _NAMING,
        Edit(_ROUTES, '*request.headers.getlist("x-tenant-id"), ', ""),
    ),
    code(
        "the tenant in the query not compared",
        _NAMING,
        Edit(_ROUTES, ', *request.query_params.getlist("tenant_id")', ""),
    ),
    code(
        "only the last tenant in the query compared",
        _NAMING,
        Edit(
            _ROUTES,
            '*request.query_params.getlist("tenant_id")',
            'request.query_params.get("tenant_id", own)',
        ),
    ),
    code(
        "the tenant in the path not compared",
        "test_routes.py::test_another_tenant_in_the_path_is_forbidden",
        Edit(_ROUTES, "is_foreign(str(in_path), caller):", "False:"),
    ),
    code(
        "the tenant in the body not compared",
        _NAMING,
        Edit(_HANDLERS, "        if is_foreign(value, caller):", "        if False:"),
    ),
    code(
        "the X-Tenant-ID header trusted",
        _NAMING,
        Edit(
            _ROUTES,
            "        tenant_id=claims.tenant_id,\n",
            '        tenant_id=parse(Kind.TENANT, request.headers["x-tenant-id"])\n'
            '        if "x-tenant-id" in request.headers\n'
            "        else claims.tenant_id,\n",
        ),
    ),
)
TOKEN_CHECKS = (
    code(
        "signatures not verified",
        _FORGED,
        Edit(_TOKENS, _DECODED, f'"verify_signature": False, {_DECODED}'),
    ),
    code(
        "closed operators served",
        "test_platform.py::test_a_closed_operators_token_is_refused_alike",
        Edit(_PLATFORM, "            await _require_open(kernel, operator)\n", ""),
    ),
    code(
        "algorithm none accepted",
        _FORGED,
        Edit(_TOKENS, 'if header.get("alg") != ALGORITHM or', "if"),
        Edit(
            _TOKENS,
            _DECODED,
            f'"verify_signature": header.get("alg") != "none", {_DECODED}',
        ),
    ),
    code(
        "audience not checked",
        _FORGED,
        Edit(_TOKENS, _DECODED, '"require": self._required, "verify_aud": False'),
    ),
    code(
        "several audiences accepted",
        _FORGED,
        Edit(_TOKENS, '"strict_aud": True', '"strict_aud": False'),
    ),
    code("expiry not checked", _FORGED, Edit(_TOKENS, _DECODED, f'"verify_exp": False, {_DECODED}')),
    code("issuer not checked", _FORGED, Edit(_TOKENS, _DECODED, f'"verify_iss": False, {_DECODED}')),
    code(
        "type of token not checked",
        _FORGED,
        Edit(_TOKENS, ' or str(header.get("typ", "")).lower() != TYPE', ""),
    ),
    code(
        "unknown keys taken for known ones",
        _FORGED,
        Edit(
            _TOKENS,
            "return self._keys.get(kid)",
            "return self._keys.get(kid) or next(iter(self._keys.values()))",
        ),
    ),
    code(
        "verified tokens remembered without their signature",
        "test_tokens.py",
        Edit(
            _TOKENS,
            "known = self._verified.get(token)",
            'known = self._verified.get(token.rpartition(".")[0])',
        ),
        Edit(_TOKENS, "self._verified[token] =", 'self._verified[token.rpartition(".")[0]] ='),
    ),
    code(
        "verified tokens remembered past their expiry",
        "test_tokens.py",
        Edit(_TOKENS, " and known[1].expires_at > clock.now()", ""),
    ),
    code(
        "verified tokens remembered past their key",
        "test_tokens.py",
        Edit(_TOKENS, "known[0] == self.keys.generation and ", ""),
    ),
    code(
        "operators' tokens open tenants' routes",
        "test_platform.py::test_operators_are_refused_on_tenants_routes",
        Edit(_TOKENS, _DECODED, '"require": [], "verify_aud": False'),
        Edit(
            _TOKENS,
            'if payload["sub"] != payload["user_id"]:',
            'payload = {"tenant_id": "tenant_" + "0" * 26, "user_id": "user_" + "0" * 26, '
            '"sid": "sess_" + "0" * 26, **payload}\n    if False:',
        ),
    ),
    code(
        "users' tokens are read as operators'",
        "test_platform.py::test_forged_operators_are_refused_alike",
        Edit(_TOKENS, "settings.platform_audience, _OF_OPERATORS", "settings.token_audience, _OF_OPERATORS"),
    ),
    code(
        "an operator's token may name a tenant",
        "test_platform.py::test_forged_operators_are_refused_alike",
        Edit(_TOKENS, ' or "tenant_id" in payload', ""),
    ),
    code(
        "any service may ask for tokens",
        "test_surface.py::test_internal_routes_take_the_named_service_only",
        Edit(_SERVICE_TOKENS, "if caller not in callers:", "if False:"),
    ),
    code(
        "service tokens for other services accepted",
        "test_surface.py::test_internal_routes_take_the_named_service_only",
        Edit(
            _SERVICE_TOKENS,
            '"require": _REQUIRED, "strict_aud": True',
            '"require": _REQUIRED, "verify_aud": False',
        ),
    ),
    code(
        "service tokens not verified",
        "test_surface.py::test_internal_routes_take_the_named_service_only",
        Edit(
            _SERVICE_TOKENS,
            '"require": _REQUIRED, "strict_aud": True',
            '"verify_signature": False, "verify_exp": False',
        ),
    ),
)
