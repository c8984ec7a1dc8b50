"""The service's application."""

from fastapi import FastAPI

from common.web.app import create_app as create_common_app
from common.web.kernel import Kernel
from workspaces.member.endpoints import router as members
from workspaces.workspace.endpoints import router as workspaces


def create_app(kernel: Kernel) -> FastAPI:
    """All routes of the service."""
    return create_common_app(kernel, [workspaces, members])
