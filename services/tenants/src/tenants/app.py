"""The service's application."""

from fastapi import FastAPI

from common.web.app import create_app as create_common_app
from common.web.kernel import Kernel
from tenants.billing.endpoints import paying
from tenants.billing.endpoints import router as billing
from tenants.custom_domain.endpoints import router as custom_domain
from tenants.deletion.endpoints import router as deletion
from tenants.export.endpoints import routers as exports
from tenants.parts import make_parts
from tenants.platform.routes import routers as platform
from tenants.provisioning.endpoints import router as sign_up
from tenants.provisioning.endpoints import tenant_routes as provisioning
from tenants.reference.endpoints import router as reference
from tenants.tenant.endpoints import router as tenant
from tenants.webhook.endpoints import router as webhook


def create_app(kernel: Kernel) -> FastAPI:
    """All routes of the service."""
    by_tenant = [tenant, custom_domain, deletion, *exports, billing, paying]
    app = create_common_app(kernel, [sign_up, provisioning, *by_tenant, webhook, *platform, reference])
    app.state.parts = make_parts(kernel)
    return app
