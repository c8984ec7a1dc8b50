"""What the routes of this service share beyond the kernel, made by `create_app`."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends
from starlette.requests import Request

from common.web.kernel import Kernel
from tenants.billing.gateway import Stripe, connect
from tenants.custom_domain.gateway import Dns
from tenants.provisioning.desk import WaitingRoom
from tenants.provisioning.gateway import AuthService
from tenants.settings import TenantsSettings, settings_of


@dataclass(frozen=True, slots=True)
class TenantsParts:
    settings: TenantsSettings
    auth: AuthService
    waiting: WaitingRoom
    stripe: Stripe
    dns: Dns

    @property
    def own_hosts(self) -> frozenset[str]:
        """Names that no tenant may have."""
        return frozenset({self.settings.link_host, self.settings.public_url.host or ""}) - {""}


def make_parts(kernel: Kernel) -> TenantsParts:
    settings = settings_of(kernel)
    dns = Dns(settings.dns_server)
    return TenantsParts(settings, AuthService(settings), WaitingRoom(), connect(settings), dns)


async def get_parts(request: Request) -> TenantsParts:
    parts: TenantsParts = request.app.state.parts
    return parts


Parts = Annotated[TenantsParts, Depends(get_parts)]
