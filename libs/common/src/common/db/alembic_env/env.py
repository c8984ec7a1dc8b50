"""Alembic environment shared by all services; run by `common.db.migrate` inside its transaction."""

from alembic import context

context.configure(
    connection=context.config.attributes["connection"],
    version_table_schema="public",
    transaction_per_migration=False,
)
context.run_migrations()
