"""Routes `/api/v1/auth/logout`, `/logout-all` and `/sessions`."""

from auth.models import SessionRow
from auth.session import queries, service
from auth.session.schemas import SignIn
from common import clock
from common.db.paging import page
from common.ids import SessionId
from common.schema import Page
from common.web.deps import Caller, Cursor, Limit, Session, Shared
from common.web.routes import account_router, exit_router

router = account_router("/auth", "sessions")
exits = exit_router("/auth", "sessions")


@exits.post("/logout", status_code=204, operation_id="logOut")
async def log_out(session: Session, caller: Caller) -> None:
    """End this session; its tokens stop working everywhere."""
    await service.log_out(session, caller.user_id, caller.session_id)


@exits.post("/logout-all", status_code=204, operation_id="logOutEverywhere")
async def log_out_everywhere(session: Session, caller: Caller) -> None:
    """End all sessions of the caller."""
    await service.log_out_everywhere(session, caller.user_id, caller.session_id)


@router.get("/sessions", operation_id="listSessions")
async def list_sessions(
    session: Session, caller: Caller, shared: Shared, limit: Limit = 20, cursor: Cursor = None
) -> Page[SignIn]:
    """Where the caller is signed in, newest first."""
    statement = queries.open_sessions(caller.user_id, clock.now())
    rows, next_cursor = await page(
        session, shared.cursors, statement, SessionRow.session_id, limit=limit, cursor=cursor
    )
    return Page(data=[_sign_in(row, caller) for row in rows], next_cursor=next_cursor)


@exits.delete("/sessions/{session_id}", status_code=204, operation_id="endSession")
async def end_session(session_id: SessionId, session: Session, caller: Caller) -> None:
    """End one of the caller's sessions."""
    row = await queries.lock_session(session, caller.user_id, session_id)
    await service.end_session(session, row, "ended_by_user")


def _sign_in(row: SessionRow, caller: Caller) -> SignIn:
    answer = SignIn.model_validate(row)
    answer.current = row.session_id == caller.session_id
    return answer
