"""Alembic's entry: runs revisions on the connection that ``inspector.ledger.store.migrate`` hands over."""

from __future__ import annotations

from alembic import context

from inspector.ledger.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,  # on SQLite too: a step and the record of it share one transaction
    render_as_batch=True,  # SQLite alters a table by copying it
)
with context.begin_transaction():
    context.run_migrations()
