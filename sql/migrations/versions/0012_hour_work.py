"""Summaries of hours for the reports on the network and the machine, and an index of a part of the images.

Revision: 0012
Revises: 0011
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

# Frozen here: a later change of inspector.ledger must not change what this revision makes.
_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_NAME = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_REFUSAL = "history is append-only: add a row instead"
_KEYS = {"hour_work": ("station_id", "hour_us", "n"), "hour_class": (), "hour_batch": ()}
_CHOSEN = sa.text("verdict <> 'PASS' OR id * 2654435761 % 4294967296 < 268435456")


def upgrade() -> None:
    op.create_table(
        "hour_work",
        sa.Column("id", _ID, sa.Identity(always=False), nullable=False),
        sa.Column("station_id", _ID, nullable=False, comment="station of the images"),
        _instant("hour_us", "start of the hour of judgement in UTC"),
        _number("n", "images; the row holds while there are no more"),
        _instant("first_us", "earliest inspected_us"),
        _instant("last_us", "latest inspected_us"),
        sa.Column(
            "longest_pause_us", sa.BigInteger(), nullable=False, comment="between two images; microseconds"
        ),
        _number("busiest_minute", "largest number of images in a minute"),
        sa.Column("frames", sa.BigInteger(), nullable=False, comment="sum of batch_size"),
        _milliseconds("infer_ms", "sum of infer_ms"),
        sa.CheckConstraint("n >= 1", name=op.f("ck_hour_work_n")),
        sa.ForeignKeyConstraint(["station_id"], ["station.id"], name=op.f("fk_hour_work_station_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_hour_work")),
        sa.UniqueConstraint("station_id", "hour_us", "n", name=op.f("uq_hour_work_station_id_hour_us_n")),
        comment="work of a station in an hour, derived from inspection",
    )
    op.create_table(
        "hour_class",
        sa.Column("id", _ID, sa.Identity(always=False), nullable=False),
        sa.Column("work_id", _ID, nullable=False, comment="the station and the hour"),
        sa.Column("label", _NAME, nullable=False, comment="class that decided, as in inspection"),
        sa.Column("verdict", _NAME, nullable=False, comment="the station's verdict"),
        sa.Column(
            "confidence_from",
            sa.Double(),
            nullable=False,
            comment="lower end of a bin of the report 'confidence'",
        ),
        _number("n", "images with the values of these columns"),
        sa.Column("confidence_min", sa.Double(), nullable=False, comment="lowest confidence, 0 to 1"),
        sa.ForeignKeyConstraint(["work_id"], ["hour_work.id"], name=op.f("fk_hour_class_work_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_hour_class")),
        comment="numbers of images in an hour of a station by class and confidence, derived from inspection",
    )
    op.create_table(
        "hour_batch",
        sa.Column("id", _ID, sa.Identity(always=False), nullable=False),
        sa.Column("work_id", _ID, nullable=False, comment="the station and the hour"),
        _number("batch_size", "frames judged together"),
        _number("n", "images judged in batches of this size"),
        *(
            _milliseconds(f"{step}_max_ms", f"{step}_ms: the slowest image")
            for step in ("wait", "decode", "infer", "total")
        ),
        sa.ForeignKeyConstraint(["work_id"], ["hour_work.id"], name=op.f("fk_hour_batch_work_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_hour_batch")),
        comment="longest durations in an hour of a station by the size of the batch, derived from inspection",
    )
    for table in ("hour_class", "hour_batch"):
        op.create_index(f"ix_{table}_work_id", table, ["work_id"], unique=False)
    op.create_index(
        "ix_inspection_sixteenth",
        "inspection",
        [
            *("inspected_us", "station_id", "part", "id", "verdict", "label", "confidence", "novelty"),
            *("batch_size", "wait_ms", "decode_ms", "infer_ms", "total_ms"),
        ],
        sqlite_where=_CHOSEN,
        postgresql_where=_CHOSEN,
    )
    for table, key in _KEYS.items():
        _refuse_changes(table, key)


def downgrade() -> None:
    op.drop_index("ix_inspection_sixteenth", "inspection")
    for table in ("hour_batch", "hour_class", "hour_work"):  # their triggers and indexes go with them
        op.drop_table(table)


def _instant(name: str, comment: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=False, comment=f"{comment}; UTC epoch microseconds")


def _milliseconds(name: str, comment: str) -> sa.Column[float]:
    return sa.Column(name, sa.Double(), nullable=False, comment=f"{comment}; milliseconds")


def _number(name: str, comment: str) -> sa.Column[int]:
    return sa.Column(name, sa.Integer(), nullable=False, comment=comment)


def _refuse_changes(table: str, key: tuple[str, ...]) -> None:
    """Refuse UPDATE, DELETE, REPLACE and TRUNCATE; see revisions 0002 and 0005."""
    if op.get_bind().dialect.name == "postgresql":
        for name, verbs, each in (
            ("no_change", "UPDATE OR DELETE", "ROW"),
            ("no_truncate", "TRUNCATE", "STATEMENT"),
        ):
            op.execute(
                f"CREATE TRIGGER {table}_{name} BEFORE {verbs} ON {table}"
                f" FOR EACH {each} EXECUTE FUNCTION refuse_change()"
            )
        return
    for verb in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table}"
            f" BEGIN SELECT RAISE(ABORT, '{_REFUSAL}'); END"
        )
    keys = [("id",), key] if key else [("id",)]
    equal = (" AND ".join(f"{column} = NEW.{column}" for column in names) for names in keys)
    found = " OR ".join(f"EXISTS (SELECT 1 FROM {table} WHERE {condition})" for condition in equal)  # noqa: S608
    op.execute(
        f"CREATE TRIGGER {table}_no_replace BEFORE INSERT ON {table} WHEN {found}"  # noqa: S608
        " BEGIN INSERT OR IGNORE INTO append_only VALUES (1); END"
    )
