"""The service's application."""

from fastapi import FastAPI

from campaigns.campaign.endpoints import router as campaigns
from campaigns.contact.endpoints import router as contacts
from campaigns.contact_list.endpoints import router as lists
from campaigns.domain.endpoints import router as domains
from campaigns.parts import make_parts
from campaigns.template.endpoints import router as templates
from common.web.app import create_app as create_common_app
from common.web.kernel import Kernel


def create_app(kernel: Kernel) -> FastAPI:
    """All routes of the service."""
    app = create_common_app(kernel, [campaigns, contacts, lists, templates, domains])
    app.state.parts = make_parts(kernel)
    return app
