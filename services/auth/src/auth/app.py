"""The service's application."""

from fastapi import FastAPI

from auth.account.endpoints import router as account
from auth.invitation.endpoints import accepting
from auth.invitation.endpoints import router as invitations
from auth.key.endpoints import router as keys
from auth.login.endpoints import router as logins
from auth.operator.endpoints import logins as operator_logins
from auth.operator.endpoints import router as operators
from auth.parts import make_parts
from auth.password.endpoints import router as passwords
from auth.refresh.endpoints import router as refreshes
from auth.session.endpoints import exits
from auth.session.endpoints import router as sessions
from auth.token.endpoints import router as tokens
from auth.user.endpoints import router as users
from common.web.app import create_app as create_common_app
from common.web.kernel import Kernel


def create_app(kernel: Kernel) -> FastAPI:
    """All routes of the service."""
    public = [keys, tokens, logins, refreshes, passwords, accepting, operator_logins]
    own = [account, sessions, exits, users, invitations]
    app = create_common_app(kernel, [*public, *own, operators])
    app.state.parts = make_parts(kernel)
    return app
