"""One trace from the gateway to the audit log."""

import json
from pathlib import Path
from typing import Any

from tests.e2e.client import Platform, Tenant, eventually


def spans_of(folder: Path, trace_id: str) -> list[dict[str, Any]]:
    """All collected spans of one trace, with the name of the service that made each."""
    found: list[dict[str, Any]] = []
    files = [folder] if folder.is_file() else sorted(folder.glob("*traces*.jsonl*"))
    for file in files:
        for line in file.read_text().splitlines():
            if trace_id not in line:
                continue
            for resource in json.loads(line)["resourceSpans"]:
                attributes = {
                    a["key"]: a["value"].get("stringValue") for a in resource["resource"]["attributes"]
                }
                for scope in resource["scopeSpans"]:
                    found += [
                        {**span, "service": attributes["service.name"]}
                        for span in scope["spans"]
                        if span["traceId"] == trace_id
                    ]
    return found


def _query_of(span: dict[str, Any]) -> str:
    attributes = {one["key"]: one["value"].get("stringValue", "") for one in span["attributes"]}
    return attributes.get("db.query.text", "")


def path_to_audit(spans: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Service and name of the audit consumer's span and of its ancestors; empty while there is none."""
    by_id = {span["spanId"]: span for span in spans}
    consumed = [s for s in spans if s["service"] == "audit" and s["name"].startswith("process")]
    chain = consumed[:1]
    while chain and chain[-1].get("parentSpanId") in by_id:
        chain.append(by_id[chain[-1]["parentSpanId"]])
    return [(span["service"], span["name"].split()[0]) for span in chain]


async def test_one_trace_from_gateway_through_sql_outbox_and_kafka_to_audit(
    platform: Platform, tenant: Tenant, environment: dict[str, Any]
) -> None:
    answer = await platform.post(
        tenant, "/campaigns", {"workspace_id": tenant.default_workspace_id, "name": "Traced"}
    )
    trace_id = answer.headers["X-Trace-Id"]
    event = await platform.audited(tenant, action="campaign.created", target=answer.json()["campaign_id"])
    assert event["trace_id"] == trace_id

    async def complete() -> list[dict[str, Any]] | None:
        spans = spans_of(Path(environment["traces"]), trace_id)
        return spans if [service for service, _ in path_to_audit(spans)][-1:] == ["gateway"] else None

    spans = await eventually(complete)
    path = path_to_audit(spans)
    assert path[:3] == [("audit", "process"), ("campaigns", "publish"), ("campaigns", "POST")], path
    statements = [s for s in spans if s["service"] == "campaigns" and "INSERT INTO" in _query_of(s)]
    assert statements, "the SQL of the change is part of the trace"


async def test_no_span_has_the_secret_of_a_link(platform: Platform, environment: dict[str, Any]) -> None:
    secret = "5ecretL1nkThatOpensTheWholeExportOfATenant"
    answer = await platform.http.get(f"/api/v1/tenants/provisioning/{secret}?also={secret}")
    trace_id = answer.headers["X-Trace-Id"]

    async def complete() -> list[dict[str, Any]] | None:
        spans = spans_of(Path(environment["traces"]), trace_id)
        return spans if {"gateway", "tenants"} <= {span["service"] for span in spans} else None

    spans = await eventually(complete)
    assert not [span["name"] for span in spans if secret in json.dumps(span)]


async def test_log_lines_are_json_with_the_ids_of_trace_tenant_and_request(
    platform: Platform, tenant: Tenant, environment: dict[str, Any]
) -> None:
    answer = await platform.get(tenant, "/campaigns")
    trace_id = answer.headers["X-Trace-Id"]
    log = Path(environment["mail_dir"]).parent / "logs" / "campaigns.log"

    async def written() -> list[dict[str, Any]] | None:
        lines = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
        return [line for line in lines if line["trace_id"] == trace_id] or None

    (line, *_) = await eventually(written)
    assert line["tenant_id"] == tenant.tenant_id
    assert line["user_id"] == tenant.owner_user_id
    assert line["request_id"] == answer.headers["X-Request-Id"]
    assert (line["status"], line["route"]) == (200, "/api/v1/campaigns")
    assert tenant.owner_email not in log.read_text(), "no personal data"
