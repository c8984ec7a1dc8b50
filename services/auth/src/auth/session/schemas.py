"""Answers."""

from common.ids import SessionId
from common.schema import Answer, Timestamp


class SignIn(Answer):
    """One session of the caller; `current` is the one of the token that asks."""

    session_id: SessionId
    ip: str
    user_agent: str
    created_at: Timestamp
    last_used_at: Timestamp
    expires_at: Timestamp
    current: bool = False
