"""Alembic's entry point: runs revisions on the connection that ``inspector.ledger.store.migrate`` opened."""

from __future__ import annotations

from alembic import context

from inspector.ledger.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,  # on SQLite too: a revision and its version number are one transaction
    render_as_batch=True,  # SQLite changes a table by copying it
)
with context.begin_transaction():
    context.run_migrations()
