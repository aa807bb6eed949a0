"""Forwarding to a central database: how far each station is, and where a forwarded row comes from.

Revision: 0011
Revises: 0010
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

# Frozen here: a later change of inspector.ledger must not change what this revision makes.
_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_REFUSAL = "history is append-only: add a row instead"
_ORIGIN = "number of the row in the database that it was forwarded from; null if it was made in this one"
_EVENT_KEY = ("station_id", "at_us", "origin_row")


def upgrade() -> None:
    op.create_table(
        "forwarded",
        sa.Column("id", _ID, sa.Identity(always=False), nullable=False),
        sa.Column("station_id", _ID, nullable=False, comment="station whose rows were forwarded"),
        sa.Column(
            "positions",
            sa.JSON(),
            nullable=False,
            comment="table name to the number and the time of the station's last row that was forwarded",
        ),
        sa.Column(
            "returned",
            sa.JSON(),
            nullable=False,
            comment="table name to the last row of the central database that the station has",
        ),
        sa.Column("sent", sa.BigInteger(), nullable=False, comment="rows that this batch forwarded"),
        sa.Column("behind", sa.BigInteger(), nullable=False, comment="rows that were still to be forwarded"),
        sa.Column(
            "at_us",
            sa.BigInteger(),
            nullable=False,
            comment="time of the batch, by the central database's clock; UTC epoch microseconds",
        ),
        sa.ForeignKeyConstraint(["station_id"], ["station.id"], name=op.f("fk_forwarded_station_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_forwarded")),
        comment="batches of rows that stations forwarded to a central database; the latest one counts",
    )
    op.create_index("ix_forwarded_station_id", "forwarded", ["station_id", "id"])
    for table in ("review", "seam_review", "event"):
        op.add_column(table, sa.Column("origin_row", sa.BigInteger(), nullable=True, comment=_ORIGIN))
    op.create_index("ix_event_origin", "event", list(_EVENT_KEY), unique=True)
    if not _on_sqlite():
        for name, verbs, each in (
            ("no_change", "UPDATE OR DELETE", "ROW"),
            ("no_truncate", "TRUNCATE", "STATEMENT"),
        ):
            op.execute(
                f"CREATE TRIGGER forwarded_{name} BEFORE {verbs} ON forwarded"
                f" FOR EACH {each} EXECUTE FUNCTION refuse_change()"
            )
        return
    for verb in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER forwarded_no_{verb.lower()} BEFORE {verb} ON forwarded"
            f" BEGIN SELECT RAISE(ABORT, '{_REFUSAL}'); END"
        )
    _refuse_replace("forwarded", ("id",))
    op.execute("DROP TRIGGER event_no_replace")
    _refuse_replace("event", ("id",), _EVENT_KEY)


def downgrade() -> None:
    op.drop_index("ix_event_origin", "event")
    if _on_sqlite():
        op.execute("DROP TRIGGER event_no_replace")
        _refuse_replace("event", ("id",))
    for table in ("event", "seam_review", "review"):
        op.drop_column(table, "origin_row")
    op.drop_table("forwarded")  # its triggers and its index go with it


def _refuse_replace(table: str, *keys: tuple[str, ...]) -> None:
    """Refuse REPLACE of a row with one of these keys on SQLite; see revision 0005."""
    equal = (" AND ".join(f"{column} = NEW.{column}" for column in key) for key in keys)
    found = " OR ".join(f"EXISTS (SELECT 1 FROM {table} WHERE {condition})" for condition in equal)  # noqa: S608
    op.execute(
        f"CREATE TRIGGER {table}_no_replace BEFORE INSERT ON {table} WHEN {found}"  # noqa: S608
        " BEGIN INSERT OR IGNORE INTO append_only VALUES (1); END"
    )


def _on_sqlite() -> bool:
    return op.get_bind().dialect.name == "sqlite"
