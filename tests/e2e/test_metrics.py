"""What the running stack measures: everything that dashboards and rules ask for, and nothing of a tenant."""

import re
from pathlib import Path
from typing import Any

import yaml

from penguinmails import dashboards
from tests.e2e.client import Platform, Tenant, eventually
from tests.promql import metrics_of_all

RULES = Path(__file__).parents[2] / "deploy/observability/prometheus/rules"


async def test_the_stack_emits_every_metric_that_dashboards_and_rules_query(
    platform: Platform, tenant: Tenant, environment: dict[str, Any]
) -> None:
    groups = [group for path in RULES.glob("*.yml") for group in yaml.safe_load(path.read_text())["groups"]]
    rules = [rule["expr"] for group in groups for rule in group["rules"]]
    wanted = metrics_of_all([*rules, *dashboards.queries()])
    assert len(wanted) > 30
    assert (await platform.get(tenant, "/campaigns")).status_code == 200
    assert (await platform.http.get("/api/v1/campaigns")).status_code == 401
    missing = set(wanted)

    async def all_there() -> bool:
        nonlocal missing
        text = (await platform.http.get(environment["metrics"])).text
        missing = wanted - set(re.findall(r"^(\w+)[{ ]", text, re.MULTILINE))
        return not missing

    try:
        await eventually(all_there, within=20, every=0.5)
    except AssertionError:
        assert not missing
        raise


async def test_no_series_names_a_tenant_a_person_or_a_path(
    platform: Platform, tenant: Tenant, environment: dict[str, Any]
) -> None:
    hostile = f"/campaigns/{tenant.tenant_id}"
    assert (await platform.get(tenant, hostile)).status_code == 404
    assert (await platform.get(tenant, f"/nowhere/{tenant.owner_email}")).status_code == 404

    async def counted() -> str | None:
        text = (await platform.http.get(environment["metrics"])).text
        route = 'http_response_status_code="404",http_route="/api/v1/campaigns/{campaign_id}"'
        return text if route in text else None

    text = await eventually(counted, within=20, every=0.5)
    assert not re.search(r"tenant_[0-9a-z]{26}|user_[0-9a-z]{26}|@|/nowhere", text)
    services = set(re.findall(r'^process_uptime_seconds\{job="penguinmails/(\w+)"', text, re.MULTILINE))
    assert services == {"auth", "tenants", "workspaces", "campaigns", "audit"}
    assert re.search(r'^envoy_cluster_membership_healthy\{job="penguinmails/gateway"', text, re.MULTILINE)
