"""Events of the `auth` service."""

from datetime import datetime
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from common.contracts.envelope import Event, Life, Part, Topic
from common.contracts.texts import Email, PersonName
from common.ids import InvitationId, OperatorId, SessionId, TenantId, UserId, WorkspaceId

TenantRoleName = Literal["owner", "admin", "member"]
WorkspaceRoleName = Literal["admin", "member", "viewer"]


class FirstMembership(Part):
    workspace_id: WorkspaceId
    role: WorkspaceRoleName


class _UserEvent(Event):
    TOPIC: ClassVar[Topic] = "penguinmails.users"
    SUBJECT: ClassVar[str] = "user_id"
    RESOURCE: ClassVar[str] = "user"

    tenant_id: TenantId
    user_id: UserId
    version: int


class UserRegistered(_UserEvent):
    ACTION: ClassVar[str | None] = "user.registered"
    LIFE: ClassVar[Life] = "birth"

    email: Email
    name: PersonName
    role: TenantRoleName
    memberships: tuple[FirstMembership, ...] = ()


class UserDescribed(_UserEvent):
    """The user as it is now, told again for projections; tokens from before `valid_from` are worthless."""

    ACTION: ClassVar[str | None] = None

    email: str
    name: str
    role: TenantRoleName
    status: Literal["active", "deactivated"]
    valid_from: datetime | None


class UserRoleChanged(_UserEvent):
    ACTION: ClassVar[str | None] = "user.role_changed"

    role: TenantRoleName
    previous_role: TenantRoleName


class UserRenamed(_UserEvent):
    ACTION: ClassVar[str | None] = "user.renamed"

    name: PersonName


class UserDeactivated(_UserEvent):
    """The user can no longer act; tokens issued before `at` are worthless."""

    ACTION: ClassVar[str | None] = "user.deactivated"

    at: datetime


class SessionsRevoked(_UserEvent):
    """Every token of the user issued before `before` is worthless (logout everywhere, new password)."""

    ACTION: ClassVar[str | None] = "user.sessions_revoked"

    before: datetime
    reason: Literal["logout_all", "password_changed", "refresh_reuse", "locked"]


class _SessionEvent(Event):
    TOPIC: ClassVar[Topic] = "penguinmails.users"
    SUBJECT: ClassVar[str] = "session_id"
    RESOURCE: ClassVar[str] = "session"

    tenant_id: TenantId
    session_id: SessionId
    version: int
    user_id: UserId


class SessionStarted(_SessionEvent):
    ACTION: ClassVar[str | None] = "session.started"
    LIFE: ClassVar[Life] = "birth"


class SessionEnded(_SessionEvent):
    """One session's tokens are worthless from now on, whatever else was told of it; the user's other sessions
    go on. `version` is 0 when the session itself is not stored any more."""

    ACTION: ClassVar[str | None] = "session.ended"
    LIFE: ClassVar[Life] = "death"

    at: datetime


class SessionDescribed(_SessionEvent):
    """A session that has ended, told again for projections."""

    ACTION: ClassVar[str | None] = None

    ended_at: datetime


class UserLoggedIn(_UserEvent):
    """Somebody proved to be the user; `session_id` is what they got."""

    ACTION: ClassVar[str | None] = "user.logged_in"

    session_id: SessionId


class LoginFailed(Event):
    """A log-in was refused: in each tenant that has an account of the address, else in the platform's.

    `address_key` is a keyed hash: it ties attempts on one address together and tells the address to nobody.
    """

    TOPIC: ClassVar[Topic] = "penguinmails.security"
    SUBJECT: ClassVar[str] = "tenant_id"
    RESOURCE: ClassVar[str] = "login"
    ACTION: ClassVar[str | None] = "user.login_failed"
    LIFE: ClassVar[Life] = "none"

    tenant_id: TenantId
    user_id: UserId | None
    address_key: Annotated[str, Field(examples=["9f86d081884c7d65"])]
    reason: Literal["unknown_address", "wrong_password", "account_closed"]


class SessionRefreshed(_SessionEvent):
    """The session goes on with new tokens."""

    ACTION: ClassVar[str | None] = "session.refreshed"


class RefreshTokenReused(_SessionEvent):
    """A spent refresh token was used again: somebody has a copy. The session was ended."""

    ACTION: ClassVar[str | None] = "session.refresh_token_reused"


class _InvitationEvent(Event):
    TOPIC: ClassVar[Topic] = "penguinmails.users"
    SUBJECT: ClassVar[str] = "invitation_id"
    RESOURCE: ClassVar[str] = "invitation"

    tenant_id: TenantId
    invitation_id: InvitationId
    version: int


class UserInvited(_InvitationEvent):
    ACTION: ClassVar[str | None] = "user.invited"
    LIFE: ClassVar[Life] = "birth"

    email: Email
    role: TenantRoleName
    memberships: tuple[FirstMembership, ...] = ()


class InvitationRevoked(_InvitationEvent):
    ACTION: ClassVar[str | None] = "invitation.revoked"


class InvitationAccepted(_InvitationEvent):
    """The invited person is the user `user_id` from now on."""

    ACTION: ClassVar[str | None] = "invitation.accepted"

    user_id: UserId


class PasswordChanged(_UserEvent):
    """The user has a new password, set through a mailed link or with the old one."""

    ACTION: ClassVar[str | None] = "user.password_changed"

    first: bool


class WelcomeMailSent(_UserEvent):
    """The mail server has taken a new owner's welcome mail."""

    ACTION: ClassVar[str | None] = "user.welcome_mail_sent"

    attempts: int


class WelcomeMailDelayed(_UserEvent):
    """The mail server did not take a new owner's welcome mail yet; there will be another attempt."""

    ACTION: ClassVar[str | None] = None

    attempts: int
    reason: Annotated[str, Field(examples=["server_away"])]
    next_attempt_at: datetime


class WelcomeMailRefused(_UserEvent):
    """The mail server will never take a new owner's welcome mail; `code` is its SMTP reply."""

    ACTION: ClassVar[str | None] = "user.welcome_mail_refused"

    attempts: int
    code: Annotated[int, Field(examples=[550])]


class _OperatorEvent(Event):
    """Operators belong to no company: what they do of themselves is told by the platform's own tenant."""

    TOPIC: ClassVar[Topic] = "penguinmails.security"
    SUBJECT: ClassVar[str] = "operator_id"
    RESOURCE: ClassVar[str] = "operator"

    tenant_id: TenantId
    operator_id: OperatorId
    version: int


class OperatorCreated(_OperatorEvent):
    """`mfa`: whether a code is needed to log in."""

    ACTION: ClassVar[str | None] = "operator.created"
    LIFE: ClassVar[Life] = "birth"

    mfa: bool


class OperatorClosed(_OperatorEvent):
    """The operator cannot log in any more."""

    ACTION: ClassVar[str | None] = "operator.closed"


class OperatorTokensRevoked(Event):
    """The operator's tokens are worthless in every service from now on. That they were closed is told to
    audit by `OperatorClosed`."""

    TOPIC: ClassVar[Topic] = "penguinmails.users"
    SUBJECT: ClassVar[str] = "operator_id"
    RESOURCE: ClassVar[str] = "operator"
    ACTION: ClassVar[str | None] = None

    tenant_id: TenantId
    operator_id: OperatorId
    version: int
    at: datetime


class OperatorLoggedIn(_OperatorEvent):
    """Somebody proved to be the operator and got a token."""

    ACTION: ClassVar[str | None] = "operator.logged_in"


class SigningKeyRotated(Event):
    """A new key will sign access tokens. `leaked`: at once, and those of the one before are void."""

    TOPIC: ClassVar[Topic] = "penguinmails.security"
    SUBJECT: ClassVar[str] = "tenant_id"
    RESOURCE: ClassVar[str] = "signing_key"
    ACTION: ClassVar[str | None] = "signing_key.rotated"
    LIFE: ClassVar[Life] = "none"

    tenant_id: TenantId
    kid: Annotated[str, Field(examples=["NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"])]
    leaked: bool


class OperatorLoginFailed(Event):
    """A log-in of an operator was refused; `address_key` as in `LoginFailed`."""

    TOPIC: ClassVar[Topic] = "penguinmails.security"
    SUBJECT: ClassVar[str] = "tenant_id"
    RESOURCE: ClassVar[str] = "login"
    ACTION: ClassVar[str | None] = "operator.login_failed"
    LIFE: ClassVar[Life] = "none"

    tenant_id: TenantId
    operator_id: OperatorId | None
    address_key: Annotated[str | None, Field(examples=["9f86d081884c7d65"])]
    reason: Literal["unknown_address", "wrong_password", "account_closed", "mfa_missing", "wrong_code"]
