"""What operators mend events with: history published again, parked events released; versions of exports."""

from alembic import context, op

from common.db.migrate import run_script

revision = "kernel_0005"
down_revision = "kernel_0004"
branch_labels = None
depends_on = None

CONTRACTS = {
    "restrictive policy tenancy.outbox.relay_tells: new": "for inserts by a role that could not insert before"
}

_SQL = """
-- Of the export, as its request told it: what our part of it is told with.
ALTER TABLE tenancy.exports ADD COLUMN version bigint NOT NULL DEFAULT 1;

-- History that an operator wants published again: numbers from `again_from` to `again_to`, of which those
-- before `again_next` are done; null when nothing is wanted.
ALTER TABLE tenancy.relay_state
    ADD COLUMN again_from bigint,
    ADD COLUMN again_next bigint,
    ADD COLUMN again_to bigint;

-- What an operator does to a row of the outbox is told in the same transaction, and nothing else is.
GRANT INSERT (tenant_id, event_id, topic, type, subject, data, traceparent, tracestate) ON tenancy.outbox
    TO {service}_relay;
CREATE POLICY relay_tells ON tenancy.outbox AS RESTRICTIVE FOR INSERT TO {service}_relay
    WITH CHECK (topic = 'penguinmails.security' AND type IN (
        'penguinmails.ParkedEventRetried.v1', 'penguinmails.ParkedEventDropped.v1',
        'penguinmails.HistoryPublishedAgain.v1'));
"""


def upgrade() -> None:
    run_script(op.get_bind(), _SQL.replace("{service}", context.config.attributes["service"]))
