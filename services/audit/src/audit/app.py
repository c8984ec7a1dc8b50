"""The service's application."""

from fastapi import FastAPI

from audit.event.endpoints import router as events
from common.web.app import create_app as create_common_app
from common.web.kernel import Kernel


def create_app(kernel: Kernel) -> FastAPI:
    """All routes of the service."""
    return create_common_app(kernel, [events])
