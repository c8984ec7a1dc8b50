"""Count the changes of sessions, invitations and operators, as their events tell them."""

from alembic import op

from common.db.migrate import run_script

revision = "auth_0007"
down_revision = "auth_0006"
branch_labels = None
depends_on = None

_VERSIONS = """
ALTER TABLE auth.sessions ADD COLUMN version bigint NOT NULL DEFAULT 1;
ALTER TABLE auth.invitations ADD COLUMN version bigint NOT NULL DEFAULT 1;
ALTER TABLE auth.operators ADD COLUMN version bigint NOT NULL DEFAULT 1;
"""


def upgrade() -> None:
    run_script(op.get_bind(), _VERSIONS)
