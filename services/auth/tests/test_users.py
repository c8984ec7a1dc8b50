"""Users: who may see, rename, promote and deactivate whom; a tenant keeps an owner."""

import asyncio
from uuid import UUID

import httpx
import pytest
from services.auth.tests.office import Office
from services.auth.tests.people import add

from common.ids import Kind, to_text
from common.testing.harness import Harness, MadeTenant

USERS = "/api/v1/users"


@pytest.fixture
async def tenant(service: Harness) -> MadeTenant:
    return await service.make_tenant()


def path(user_id: UUID) -> str:
    return f"{USERS}/{to_text(Kind.USER, user_id)}"


async def patch(service: Harness, headers: dict[str, str], user_id: UUID, **changes: str) -> httpx.Response:
    return await service.client.patch(path(user_id), headers=headers, json=changes)


def refusal(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


async def test_owners_and_admins_see_all_members_themselves(
    service: Harness, office: Office, tenant: MadeTenant
) -> None:
    admin_id, admin = await add(service, office, tenant, "admin")
    member_id, member = await add(service, office, tenant, "member")
    page = (await service.client.get(USERS, headers=admin, params={"limit": 2})).json()
    rest = await service.client.get(USERS, headers=tenant.headers, params={"cursor": page["next_cursor"]})
    seen = [one["user_id"] for one in [*page["data"], *rest.json()["data"]]]
    assert set(seen) == {to_text(Kind.USER, one) for one in (tenant.owner_id, admin_id, member_id)}
    assert (await service.client.get(USERS, headers=member)).status_code == 403
    assert (await service.client.get(path(admin_id), headers=member)).status_code == 403
    own = (await service.client.get(path(member_id), headers=member)).json()
    assert (own["role"], own["status"]) == ("member", "active")


async def test_a_member_renames_only_themselves(service: Harness, office: Office, tenant: MadeTenant) -> None:
    member_id, member = await add(service, office, tenant, "member")
    answer = await patch(service, member, member_id, name="Ulrike")
    assert (answer.status_code, answer.json()["name"]) == (200, "Ulrike")
    assert refusal(await patch(service, member, tenant.owner_id, name="X")) == (403, "forbidden")
    assert refusal(await patch(service, member, member_id, role="owner")) == (403, "forbidden")
    (event,) = await office.emitted(tenant.tenant_id, "UserRenamed")
    assert (event["name"], event["version"]) == ("Ulrike", 2)


async def test_nobody_grants_or_takes_more_than_they_have(
    service: Harness, office: Office, tenant: MadeTenant
) -> None:
    admin_id, admin = await add(service, office, tenant, "admin")
    member_id, _ = await add(service, office, tenant, "member")
    for user_id, role in ((member_id, "owner"), (admin_id, "owner"), (tenant.owner_id, "member")):
        assert refusal(await patch(service, admin, user_id, role=role)) == (403, "forbidden")
    assert (await service.client.delete(path(tenant.owner_id), headers=admin)).status_code == 403
    assert refusal(await patch(service, admin, tenant.owner_id, name="X")) == (403, "forbidden")
    assert (await patch(service, admin, member_id, role="admin")).json()["role"] == "admin"
    (event,) = await office.emitted(tenant.tenant_id, "UserRoleChanged")
    assert (event["previous_role"], event["role"]) == ("member", "admin")


async def test_the_last_owner_stays(service: Harness, office: Office, tenant: MadeTenant) -> None:
    own = path(tenant.owner_id)
    assert refusal(await patch(service, tenant.headers, tenant.owner_id, role="admin")) == (409, "last_owner")
    assert refusal(await service.client.delete(own, headers=tenant.headers)) == (409, "last_owner")
    await add(service, office, tenant, "owner")
    assert (await service.client.delete(own, headers=tenant.headers)).status_code == 204


async def test_two_owners_cannot_remove_each_other(
    service: Harness, office: Office, tenant: MadeTenant
) -> None:
    for _ in range(5):
        made = await service.make_tenant()
        second_id, second = await add(service, office, made, "owner")
        answers = await asyncio.gather(
            service.client.delete(path(second_id), headers=made.headers),
            patch(service, second, made.owner_id, role="member"),
        )
        assert sum(answer.is_success for answer in answers) == 1
        owners = await office.fetch(
            "SELECT 1 FROM auth.users WHERE tenant_id = $1 AND role = 'owner' AND status = 'active'",
            made.tenant_id,
        )
        assert len(owners) == 1


async def test_deactivation_ends_everything_once(
    service: Harness, office: Office, tenant: MadeTenant
) -> None:
    user_id, _ = await add(service, office, tenant, "member")
    for _ in range(2):
        assert (await service.client.delete(path(user_id), headers=tenant.headers)).status_code == 204
    (event,) = await office.emitted(tenant.tenant_id, "UserDeactivated")
    assert event["user_id"] == to_text(Kind.USER, user_id)
    shown = (await service.client.get(path(user_id), headers=tenant.headers)).json()
    assert shown["status"] == "deactivated"
    closed = await patch(service, tenant.headers, user_id, role="admin")
    assert refusal(closed) == (409, "user_deactivated")
