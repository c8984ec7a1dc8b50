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
        services = {span["service"] for span in spans}
        processed = any(s["service"] == "audit" and s["name"].startswith("process") for s in spans)
        return spans if {"gateway", "campaigns", "audit"} <= services and processed else None

    spans = await eventually(complete)
    by_id = {span["spanId"]: span for span in spans}
    consumed = next(s for s in spans if s["service"] == "audit" and s["name"].startswith("process"))
    chain = [consumed]
    while chain[-1].get("parentSpanId") in by_id:
        chain.append(by_id[chain[-1]["parentSpanId"]])
    path = [(span["service"], span["name"].split()[0]) for span in chain]
    assert path[:3] == [("audit", "process"), ("campaigns", "publish"), ("campaigns", "POST")], path
    assert path[-1][0] == "gateway", path
    statements = [s for s in spans if s["service"] == "campaigns" and s["name"].startswith("INSERT")]
    assert statements, "the SQL of the change is part of the trace"


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
