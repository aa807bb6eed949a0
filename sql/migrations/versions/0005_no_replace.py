"""On SQLite, triggers that refuse INSERT OR REPLACE: it removed rows, since no DELETE trigger fires for it.

Revision: 0005
Revises: 0004
"""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_REFUSAL = "history is append-only: add a row instead"
_KEYS = {  # each table's keys beside its id
    "arrival": "station_id path outcome recorded_us",
    "audit_sample": "inspection_id",
    "event": "",
    "inspection": "station_id source_name sha256",
    "model": "artifact_sha256",
    "quarantine": "station_id path quarantined_us",
    "review": "",
    "settings": "sha256",
    "station": "name",
}


def upgrade() -> None:
    if not _on_sqlite():
        return
    # The statement in a trigger treats a conflict as the statement that fired it does: only REPLACE fails.
    op.execute(f'CREATE TABLE append_only (no_row INTEGER, CONSTRAINT "{_REFUSAL}" CHECK (0))')
    for table, key in _KEYS.items():
        keys = (columns.split() for columns in ("id", key) if columns)
        conditions = (" AND ".join(f"{column} = NEW.{column}" for column in columns) for columns in keys)
        found = (f"EXISTS (SELECT 1 FROM {table} WHERE {condition})" for condition in conditions)  # noqa: S608
        op.execute(
            f"CREATE TRIGGER {table}_no_replace BEFORE INSERT ON {table} WHEN {' OR '.join(found)}"  # noqa: S608
            " BEGIN INSERT OR IGNORE INTO append_only VALUES (1); END"
        )


def downgrade() -> None:
    if not _on_sqlite():
        return
    for table in _KEYS:
        op.execute(f"DROP TRIGGER {table}_no_replace")
    op.drop_table("append_only")


def _on_sqlite() -> bool:
    return op.get_bind().dialect.name == "sqlite"
