"""What the database can say that the rest of the code must tell apart."""

import asyncpg
from sqlalchemy import exc

DRIVER_ERRORS = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
"""What asyncpg raises. The last is no bug of ours: a statement begun as its connection dies may end so."""


class EntryRefused(Exception):
    """The database did not let the caller into the tenant: revoked, deactivated or deleted."""


class MemberUnknown(Exception):
    """The projection has not seen this tenant or member (yet)."""


class TransactionLost(Exception):
    """A transaction was to be committed in which a statement had failed."""


_UNAVAILABLE = (
    "25P03",  # idle_in_transaction_session_timeout
    "40001",  # serialization_failure
    "40P01",  # deadlock_detected
    "55P03",  # lock_not_available
    "57014",  # query_canceled: statement_timeout
    "57P01",  # admin_shutdown
    "57P02",  # crash_shutdown
    "57P03",  # cannot_connect_now
    "53300",  # too_many_connections
    "53200",  # out_of_memory
    "53100",  # disk_full
)
_POISONED = (
    "25006",  # read_only_sql_transaction: a standby, or what somebody has SET
    "26000",  # invalid_sql_statement_name: somebody has deallocated what the driver has prepared
)


def driver_error(error: BaseException) -> asyncpg.PostgresError | None:
    """The asyncpg error below a SQLAlchemy one, or None."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, asyncpg.PostgresError):
            return seen
        seen = seen.__cause__
    return None


def is_unavailable(error: BaseException) -> bool:
    """Whether the same work may succeed later: the database is away, overloaded or chose us as its victim."""
    if isinstance(error, exc.TimeoutError | OSError | TimeoutError | asyncpg.InterfaceError):
        return True
    if isinstance(error, asyncpg.InternalClientError):
        return True
    if isinstance(error, exc.DBAPIError) and error.connection_invalidated:
        return True
    below = driver_error(error)
    if below is not None:
        state = below.sqlstate or ""
        return state.startswith("08") or state in _UNAVAILABLE or is_poisoned(error)
    return isinstance(error, exc.InterfaceError | exc.OperationalError)


def is_poisoned(error: BaseException) -> bool:
    """Whether the connection itself is at fault, and would be for everybody after.

    SQL of one tenant can leave settings behind on it, or take away what the driver has prepared.
    """
    below = driver_error(error)
    if below is None:
        return False
    source = getattr(below, "server_source_function", None)
    return below.sqlstate in _POISONED or source == "check_enable_rls"  # row_security is off


def is_wall_violation(error: BaseException) -> bool:
    """Whether a row-level security policy refused a write (a missing grant is not one).

    Both have SQLSTATE 42501; PostgreSQL's reporting function tells them apart in every language.
    """
    below = driver_error(error)
    return (
        isinstance(below, asyncpg.InsufficientPrivilegeError)
        and getattr(below, "server_source_function", None) == "ExecWithCheckOptions"
    )


def is_privilege_missing(error: BaseException) -> bool:
    """Whether a grant or a proof was missing."""
    return isinstance(driver_error(error), asyncpg.InsufficientPrivilegeError)


def violated_constraint(error: exc.IntegrityError) -> str:
    """Name of the constraint that refused the row, or an empty string."""
    below = driver_error(error)
    return str(getattr(below, "constraint_name", "") or "")
