"""The settings of a tenant: what may change, who may change it, and who hears of it."""

import asyncio
from typing import Any

import jsonschema_rs
import pytest
from services.tenants.tests.company import Company, found
from services.tenants.tests.world import Office

from common.contracts.tenants import TenantSettingsUpdated
from common.testing.harness import Harness


@pytest.fixture
async def company(service: Harness) -> Company:
    return await found(service, "enterprise")


async def test_a_patch_merges_and_answers_the_new_state(company: Company, office: Office) -> None:
    before = await company.get()
    patch = {
        "company_name": " Acme Group ",
        "timezone": "Europe/Paris",
        "default_reply_to": "Hello@Acme.example",
        "branding": {"primary_color": "#AABBCC"},
        "security": {"mfa_required": True},
    }
    answer = await company.patch(patch, before.headers["ETag"])
    settings = answer.json()["settings"]
    assert answer.status_code == 200
    assert answer.headers["ETag"] == '"v2"'
    assert (settings["company_name"], settings["email_sender_name"]) == ("Acme Group", "Acme Group")
    assert settings["default_reply_to"] == "hello@acme.example"
    assert settings["branding"]["primary_color"] == "#aabbcc"
    assert settings["security"] == {"auto_lock": "off", "mfa_required": True}
    assert (await company.get()).json() == answer.json()
    (event,) = await office.emitted(company.tenant.tenant_id, "TenantSettingsUpdated")
    assert event["company_name"] == "Acme Group"
    assert event["version"] == 2
    assert event["fields"] == [
        "branding.primary_color",
        "company_name",
        "default_reply_to",
        "security.mfa_required",
        "timezone",
    ]
    assert "hello@acme" not in str(event)


async def test_null_brings_the_default_back(company: Company) -> None:
    await company.patch({"timezone": "Asia/Tokyo", "branding": {"logo_url": "https://acme.example/l.png"}})
    answer = await company.patch({"timezone": None, "branding": None}, kind="json")
    assert answer.json()["settings"]["timezone"] == "UTC"
    assert answer.json()["settings"]["branding"]["logo_url"] is None


async def test_what_is_so_already_changes_nothing(company: Company, office: Office) -> None:
    for body in ({}, {"company_name": "Acme Ltd"}, {"branding": {}}, {"timezone": None}):
        assert (await company.patch(body)).headers["ETag"] == '"v1"'
    assert not await office.emitted(company.tenant.tenant_id, "TenantSettingsUpdated")


async def test_a_change_says_which_state_it_changes(company: Company) -> None:
    absent = await company.patch({"timezone": "Asia/Tokyo"}, None)
    assert (absent.status_code, absent.json()["code"]) == (428, "precondition_required")
    assert (await company.patch({"timezone": "Asia/Tokyo"}, '"v1"')).status_code == 200
    stale = await company.patch({"timezone": "Asia/Seoul"}, '"v1"')
    assert (stale.status_code, stale.json()["code"]) == (412, "precondition_failed")


async def test_of_two_changes_of_the_same_state_one_wins(company: Company) -> None:
    zones = ("Asia/Tokyo", "Asia/Seoul", "Europe/Paris", "Europe/Rome")
    answers = await asyncio.gather(*(company.patch({"timezone": zone}, '"v1"') for zone in zones))
    assert sorted(answer.status_code for answer in answers) == [200, 412, 412, 412]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"limits": {"max_users": 9}}, "/limits"),
        ({"limits": None}, "/limits"),
        ({"plan": "enterprise"}, "/plan"),
        ({"company_name": None}, "/company_name"),
        ({"company_name": " "}, "/company_name"),
        ({"company_name": "Acme\r\nBcc: all"}, "/company_name"),
        ({"company_address": "1 Road\x00"}, "/company_address"),
        ({"email_sender_name": "Acme\nBcc: all"}, "/email_sender_name"),
        ({"timezone": "Mars/Olympus"}, "/timezone"),
        ({"timezone": "../etc/passwd"}, "/timezone"),
        ({"timezone": "localtime"}, "/timezone"),
        ({"date_format": "whenever"}, "/date_format"),
        ({"default_reply_to": "Ada <ada@acme.example>"}, "/default_reply_to"),
        ({"branding": {"logo_url": "http://acme.example/l.png"}}, "/branding/logo_url"),
        ({"branding": {"logo_url": "https://ada:pw@acme.example/l.png"}}, "/branding/logo_url"),
        ({"branding": {"logo_url": "javascript:alert(1)"}}, "/branding/logo_url"),
        ({"branding": {"logo_url": 'https:///l.png" onload='}}, "/branding/logo_url"),
        ({"branding": {"primary_color": "red"}}, "/branding/primary_color"),
        ({"branding": {"primary_color": "#aabbcc\n"}}, "/branding/primary_color"),
        ({"branding": {"theme": "dark"}}, "/branding/theme"),
        ({"branding": {"custom_domain": "localhost"}}, "/branding/custom_domain"),
        ({"branding": {"custom_domain": "192.0.2.1"}}, "/branding/custom_domain"),
        ({"branding": {"custom_domain": "*.acme.example"}}, "/branding/custom_domain"),
        ({"branding": {"custom_domain": "https://acme.example"}}, "/branding/custom_domain"),
        ({"branding": {"custom_domain": "acme.example:443"}}, "/branding/custom_domain"),
        ({"branding": {"custom_domain": f"{'a.' * 120}example"}}, "/branding/custom_domain"),
        ({"security": {"mfa_required": "yes"}}, "/security/mfa_required"),
        ({"security": {"auto_lock": "sometimes"}}, "/security/auto_lock"),
        ({"unknown": 1}, "/unknown"),
        ([], ""),
    ],
)
async def test_unacceptable_values_are_named(company: Company, body: Any, pointer: str) -> None:
    answer = await company.patch(body)
    assert answer.status_code == 422
    assert pointer in {error["pointer"] for error in answer.json()["errors"]}
    assert (await company.get()).headers["ETag"] == '"v1"'


async def test_branding_needs_its_feature(service: Harness) -> None:
    company = await found(service, "starter")
    refused = await company.patch({"timezone": "Asia/Tokyo", "branding": {"primary_color": "#112233"}})
    assert (refused.status_code, refused.json()["code"]) == (403, "feature_disabled")
    assert (await company.get()).json()["settings"]["timezone"] == "UTC"
    assert (await company.patch({"branding": {"primary_color": None}})).status_code == 200


async def test_members_may_not_and_admins_may(company: Company) -> None:
    _, member = await company.service.make_user(company.tenant)
    _, admin = await company.service.make_user(company.tenant, "admin")
    for answer in (await company.patch({}, token=member), await company.get("/settings/schema", member)):
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    assert (await company.patch({"company_address": "1 Road\nTown"}, token=admin)).status_code == 200


async def test_the_schema_describes_the_settings_and_their_defaults(company: Company) -> None:
    schema = (await company.get("/settings/schema")).json()
    settings = (await company.get()).json()["settings"]
    validator = jsonschema_rs.validator_for(schema)
    validator.validate(settings)
    validator.validate({"timezone": None, "branding": {"custom_domain": None}})
    for wrong in (
        {"timezone": 1},
        {"unknown": 1},
        {"branding": {"theme": "dark"}},
        {"limits": {"max_users": 1}},
    ):
        assert not validator.is_valid(wrong), wrong
    properties = schema["properties"]
    assert properties.keys() == settings.keys()
    assert properties["limits"]["readOnly"]
    assert properties["limits"]["properties"].keys() == settings["limits"].keys()
    groups = {"branding": "BrandingUpdate", "security": "SecurityUpdate"}
    for group, model in groups.items():
        for name, member in schema["$defs"][model]["properties"].items():
            assert member["default"] == settings[group][name]
    for member in schema["$defs"]["SecurityUpdate"]["properties"].values():
        assert "not enforced by this version" in member["description"], "a form must not promise it"
    chosen_otherwise = {"company_name", "email_sender_name", "limits"}
    for name in properties.keys() - chosen_otherwise:
        assert properties[name]["default"] == settings[name]
    assert not any("default" in properties[name] for name in chosen_otherwise)


async def test_the_name_is_projected_and_never_backwards(company: Company, office: Office) -> None:
    tenant_id = company.tenant.tenant_id
    for version, name in ((3, "Third"), (2, "Second")):
        event = TenantSettingsUpdated(
            tenant_id=tenant_id, version=version, fields=("company_name",), company_name=name
        )
        await office.hear(tenant_id, event)
    (row,) = await office.fetch("SELECT name, version FROM tenancy.tenants WHERE tenant_id = $1", tenant_id)
    assert tuple(row) == ("Third", 3)
