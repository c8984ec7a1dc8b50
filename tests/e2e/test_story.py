"""The everyday story through the gateway: sign up, work, and an attempt that is flagged."""

import time
from typing import Any

from tests.e2e.client import Platform, Tenant, eventually

ANONYMOUS_KEYS = ("id", "email", "ip", "user_agent")


async def test_sign_up_answers_with_a_token_that_works_at_once_everywhere(platform: Platform) -> None:
    made = await platform.sign_up("Fresh Start")
    me = await platform.get(made, "/auth/me")
    assert me.status_code == 200, me.text
    assert me.json()["tenant_id"] == made.tenant_id
    assert me.json()["role"] == "owner"
    assert me.json()["workspaces"] == [{"workspace_id": made.default_workspace_id, "role": "admin"}]
    settings = await platform.get(made, f"/tenants/{made.tenant_id}/settings")
    assert settings.json()["settings"]["company_name"] == "Fresh Start"
    workspaces = await platform.get(made, "/workspaces")
    assert [row["workspace_id"] for row in workspaces.json()["data"]] == [made.default_workspace_id]
    campaign = await platform.make(
        made, "/campaigns", workspace_id=made.default_workspace_id, name="Hello", subject="Hi"
    )
    assert campaign["workspace_id"] == made.default_workspace_id
    assert (await platform.get(made, "/audit/events")).status_code == 200


async def test_a_workspace_just_made_is_known_to_campaigns_at_once(
    platform: Platform, tenant: Tenant
) -> None:
    workspace = await platform.make(tenant, "/workspaces", name="Spring")
    contact = await platform.make(
        tenant, "/contacts", workspace_id=workspace["workspace_id"], email="Ann@Example.com", name="Ann"
    )
    listed = await platform.get(tenant, "/contacts", workspace_id=workspace["workspace_id"])
    assert [row["contact_id"] for row in listed.json()["data"]] == [contact["contact_id"]]


async def test_every_action_is_audited_within_two_seconds(
    platform: Platform, tenant: Tenant, client_address: str
) -> None:
    workspace = await platform.make(tenant, "/workspaces", name="Audited")
    campaign = await platform.make(tenant, "/campaigns", workspace_id=workspace["workspace_id"], name="A")
    campaign_id = campaign["campaign_id"]
    path = f"/api/v1/campaigns/{campaign_id}"
    changed = await platform.http.patch(path, headers=tenant.headers, json={"name": "B"})
    assert changed.status_code == 200, changed.text
    assert (await platform.http.delete(path, headers=tenant.headers)).status_code == 204
    done = time.monotonic()
    for action, target in (
        ("workspace.created", workspace["workspace_id"]),
        ("campaign.created", campaign_id),
        ("campaign.updated", campaign_id),
        ("campaign.deleted", campaign_id),
    ):
        event = await platform.audited(tenant, action=action, target=target)
        assert event["actor"]["type"] == "user"
        assert event["actor"]["id"] == tenant.owner_user_id
        assert event["outcome"] == "success"
        assert event["trace_id"]
    assert time.monotonic() - done < 2.0

    async def with_address() -> dict[str, Any] | None:
        event = await platform.audited(tenant, action="campaign.deleted", target=campaign_id)
        return event if event["actor"]["ip"] else None

    assert (await eventually(with_address))["actor"]["ip"] == client_address


async def test_reads_are_audited(platform: Platform, tenant: Tenant) -> None:
    await platform.get(tenant, "/auth/me")
    event = await platform.audited(tenant, action="access.recorded")
    assert event["outcome"] == "success"
    assert event["request"]["method"] == "GET"


async def test_an_implicit_attempt_is_flagged_in_full_for_one_and_anonymously_for_the_other(
    platform: Platform, tenant: Tenant, other: Tenant, client_address: str
) -> None:
    campaign = await platform.make(
        tenant, "/campaigns", workspace_id=tenant.default_workspace_id, name="Secret"
    )
    answer = await platform.get(other, f"/campaigns/{campaign['campaign_id']}")
    assert answer.status_code == 404
    seen = await platform.audited(other, flag="cross_tenant_attempt")
    assert seen["actor"]["id"] == other.owner_user_id
    assert seen["actor"]["ip"] == client_address
    assert seen["target"]["id"] == campaign["campaign_id"]
    assert seen["trace_id"] == answer.headers["X-Trace-Id"]
    suffered = await platform.audited(tenant, flag="cross_tenant_attempt")
    assert_anonymous(suffered, other)
    assert suffered["target"]["id"] == campaign["campaign_id"]


async def test_an_explicit_attempt_is_refused_and_flagged(
    platform: Platform, tenant: Tenant, other: Tenant
) -> None:
    by_path = await platform.get(other, f"/tenants/{tenant.tenant_id}/settings")
    by_header = await platform.http.get(
        "/api/v1/campaigns", headers={**other.headers, "X-Tenant-ID": tenant.tenant_id}
    )
    by_body = await platform.post(other, "/workspaces", {"name": "X", "tenant_id": tenant.tenant_id})
    for answer in (by_path, by_header, by_body):
        assert answer.status_code == 403, answer.text
        assert answer.json()["code"] == "cross_tenant_forbidden"
        assert tenant.company_name not in answer.text

    async def all_three() -> bool:
        events = await platform.audit(other, flag="cross_tenant_attempt")
        return [event["severity"] for event in events] == ["high"] * 3

    await eventually(all_three)
    assert_anonymous(await platform.audited(tenant, flag="cross_tenant_attempt"), other)


async def test_an_id_that_nobody_has_is_not_an_attempt(platform: Platform, tenant: Tenant) -> None:
    never = "camp_01k2zzzzzzf0000000000000zz"
    assert (await platform.get(tenant, f"/campaigns/{never}")).status_code == 404
    event = await platform.audited(tenant, action="access.missed", target=never)
    assert event["flags"] == ["not_found"]


def assert_anonymous(event: dict[str, Any], attacker: Tenant) -> None:
    """Nothing in the victim's event leads to the attacker."""
    assert all(not event["actor"].get(key) for key in ANONYMOUS_KEYS), event
    assert not event["trace_id"]
    assert not event["request"]
    text = str(event)
    for secret in (attacker.tenant_id, attacker.owner_user_id, attacker.owner_email, attacker.company_name):
        assert secret not in text
