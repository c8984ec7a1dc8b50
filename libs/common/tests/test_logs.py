"""Log lines: JSON, with the ids of the request, without secrets and personal data."""

import json
import logging
import time
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider

from common import telemetry
from common.redaction import HIDDEN, LONGEST, redact

JWT = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJ1c2VyXzEifQ.c2lnbmF0dXJlLW9mLWEtdG9rZW4"
OPAQUE = "AZl0" + "b3Blbi1zZXNhbWUt" * 5 + "_9"
HOSTILE = {
    f"Authorization: Bearer {JWT}": (JWT,),
    "Basic YWRhOnBhc3N3b3Jk was refused": ("YWRhOnBhc3N3b3Jk",),
    f"no session for {JWT}": (JWT, JWT.partition(".")[0]),
    f"/api/v1/tenants/exports/{OPAQUE}": (OPAQUE,),
    "postgresql://auth_app:hunter2@db:5432/auth is away": ("hunter2",),
    'body {"password": "a walrus on a bicycle", "name": "x"}': ("walrus", "bicycle"),
    r"a text of JSON: {\"password\": \"a walrus on\", \"name\": \"x\"}": ("walrus",),
    "pwd=hunter2&x=1": ("hunter2",),
    "GET /x?to=ada%40acme.example": ("ada", "acme.example"),
    "-----BEGIN PRIVATE KEY-----\nMIIEvQIB+ADANB/gk\nqhkiG9w0BAQ==\n-----END PRIVATE KEY-----": (
        "MIIEv",
        "qhkiG",
    ),
    "refresh_token=abc.def&x=1": ("abc.def",),
    "api_key: 's3cr3t words'": ("s3cr3t",),
    "Stripe said no to sk_live_51Habcdefgh and whsec_abcdefgh12": ("51Habcdefgh", "abcdefgh12"),
    "Key (email)=(ada.lovelace+news@acme.example) already exists": ("lovelace", "acme.example"),
    "to <ada@xn--acm-dma.example>, bob@localhost": ("ada@", "bob@"),
    "tenancy key " + "5f" * 32: ("5f5f",),
    "line one\nBearer abcdef\r\n\x1b[31mada@acme.example\u2028": ("abcdef", "ada@"),
}
HARMLESS = (
    "partitions assigned",
    "tenant_01k9zq3v8mf5ra6y3h1r2c4d5e of workspace_01k9zq3v8mf5ra6y3h1r2c4d5e",
    "0199f2a4-7c3e-7000-8000-0123456789ab",
    "/api/v1/campaigns/{campaign_id}",
    "https://collector.example:4318/v1/metrics answered 503",
    "asyncpg.exceptions.InvalidAuthorizationSpecificationError",
)


class Lines(logging.Handler):
    """Log lines as they would be printed."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(telemetry.JsonFormatter("tests"))
        self.printed: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.printed.append(self.format(record))


def printed(message: object, *arguments: object, **options: Any) -> str:
    """The line that logging it prints."""
    handler, log = Lines(), logging.Logger("tests")
    log.addHandler(handler)
    log.error(message, *arguments, **options)
    (line,) = handler.printed
    return line


@pytest.mark.parametrize("text", HOSTILE)
def test_no_secret_is_printed_wherever_it_stands(text: str) -> None:
    lines = [
        printed(text),
        printed("said %s", text),
        printed("event", extra={"fields": {"detail": text}}),
        printed("event", extra={"fields": {"deep": [{"detail": (text,)}]}}),
        printed("event", extra={"fields": {text: 1}}),
        printed("event", extra={"fields": {"error": ValueError(text)}}),
    ]
    try:
        raise LookupError(text)
    except LookupError as error:
        lines.append(printed("failed", exc_info=error))
    for line in lines:
        assert "\n" not in line
        json.loads(line)
        assert not [secret for secret in HOSTILE[text] if secret in line], line


@pytest.mark.parametrize("name", ["password", "client_secret", "Set-Cookie", "accessToken", "owner_email"])
def test_what_has_a_secrets_name_is_hidden_whatever_it_is(name: str) -> None:
    assert json.loads(printed("event", extra={"fields": {name: {"a": [1]}}}))[name] == HIDDEN


@pytest.mark.parametrize("text", HARMLESS)
def test_what_is_harmless_stays_readable(text: str) -> None:
    assert redact(text) == text


@pytest.mark.parametrize("piece", ["word ", "some words\n", "a"])
def test_a_cut_text_ends_with_one_ellipsis(piece: str) -> None:
    cut = redact(piece * (LONGEST + 1))
    assert cut.endswith("…")
    assert cut.count("…") == 1


@pytest.mark.parametrize("piece", ["a", "a@", "=", "token", "eyJ", "://a:", "-", "bearer ", "9"])
def test_long_texts_are_cut_and_cost_little(piece: str) -> None:
    text = piece * 100_000
    began = time.process_time()
    assert len(redact(text)) <= 3 * LONGEST
    assert time.process_time() - began < 0.5


def test_lines_carry_the_ids_of_what_is_at_hand() -> None:
    ids = {"tenant_id": "tenant_1", "user_id": "user_1", "request_id": "request-1"}
    token = telemetry.log_fields.set(ids)
    tracer = TracerProvider().get_tracer("tests")
    try:
        with tracer.start_as_current_span("request") as span:
            line = json.loads(printed("event", extra={"fields": {"count": 3, "ok": True}}))
    finally:
        telemetry.log_fields.reset(token)
    assert line["trace_id"] == f"{span.get_span_context().trace_id:032x}"
    assert {name: line[name] for name in ids} == ids
    assert (line["count"], line["ok"], line["level"], line["message"]) == (3, True, "error", "event")
