"""A process that was told to stop: what it tells gateways and clients while it still serves."""

from libs.common.tests.backbone import Databases

from common.testing.harness import harness
from workspaces.__main__ import SERVICE


async def test_it_is_not_ready_any_more_and_closes_each_connection(service_database: Databases) -> None:
    async with harness(SERVICE, await service_database("workspaces")) as service:
        tenant = await service.make_tenant()
        ready = await service.client.get("/health/ready")
        assert (ready.status_code, ready.json()["checks"]["staying"]) == (200, True)
        served = await service.client.get("/api/v1/workspaces", headers=tenant.headers)
        assert "Connection" not in served.headers
        service.kernel.leaving.set()
        leaving = await service.client.get("/health/ready")
        assert (leaving.status_code, leaving.json()["checks"]["staying"]) == (503, False)
        assert (await service.client.get("/health/live")).status_code == 200
        served = await service.client.get("/api/v1/workspaces", headers=tenant.headers)
        assert (served.status_code, served.headers["Connection"]) == (200, "close")
