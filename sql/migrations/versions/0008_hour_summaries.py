"""Summaries of hours that are over, from which the reports count.

Revision: 0008
Revises: 0007
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

# Frozen here: a later change of inspector.ledger must not change what this revision makes.
_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_NAME = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_REFUSAL = "history is append-only: add a row instead"
_MEASURES = {
    "p50": "half of the images took at most this",
    "p95": "95% took at most this",
    "p99": "99% took at most this",
    "max": "the slowest image",
}
_KEYS = {  # beside the number of the row
    "hour_summary": ("station_id", "hour_us", "n"),
    "hour_count": (),
    "hour_latency": ("of_station", "hour_us", "n"),
}


def upgrade() -> None:
    op.create_table(
        "hour_summary",
        sa.Column("id", _ID, sa.Identity(always=False), nullable=False),
        sa.Column("station_id", _ID, nullable=False, comment="station of the images"),
        _instant("hour_us", "start of the hour of judgement in UTC"),
        _number("n", "images; the summary holds while there are no more"),
        sa.CheckConstraint("n >= 1", name=op.f("ck_hour_summary_n")),
        sa.ForeignKeyConstraint(["station_id"], ["station.id"], name=op.f("fk_hour_summary_station_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_hour_summary")),
        sa.UniqueConstraint("station_id", "hour_us", "n", name=op.f("uq_hour_summary_station_id_hour_us_n")),
        comment="hours of a station whose images hour_count counts, derived from inspection",
    )
    op.create_table(
        "hour_count",
        sa.Column("id", _ID, sa.Identity(always=False), nullable=False),
        sa.Column("summary_id", _ID, nullable=False, comment="the station and the hour"),
        sa.Column("model_id", _ID, nullable=False, comment="as in inspection, like all columns up to reason"),
        sa.Column("camera", _NAME, nullable=True, comment="camera"),
        sa.Column("part", _NAME, nullable=True, comment="part"),
        sa.Column("seam", _NAME, nullable=True, comment="seam"),
        sa.Column("pass_no", sa.Integer(), nullable=True, comment="pass over the seam"),
        sa.Column("local_day", _NAME, nullable=False, comment="local day"),
        sa.Column("shift", _NAME, nullable=False, comment="shift"),
        sa.Column("shift_day", _NAME, nullable=True, comment="day on which the shift began"),
        sa.Column("verdict", _NAME, nullable=False, comment="the station's verdict"),
        sa.Column("reason", _NAME, nullable=True, comment="reason of a REVIEW"),
        sa.Column("is_duplicate", sa.Boolean(), nullable=False, comment="whether duplicate_of is set"),
        _instant("seen_hour_us", "start of the hour in UTC in which the files were seen"),
        _number("n", "images with the values of these columns"),
        _instant("first_us", "earliest inspected_us of them"),
        _instant("last_us", "latest inspected_us"),
        _instant("first_seen_us", "earliest seen_us"),
        _instant("first_taken_us", "earliest taken_us"),
        _instant("last_taken_us", "latest taken_us"),
        sa.Column("newest_id", sa.BigInteger(), nullable=False, comment="largest number of an inspection"),
        sa.ForeignKeyConstraint(["model_id"], ["model.id"], name=op.f("fk_hour_count_model_id")),
        sa.ForeignKeyConstraint(["summary_id"], ["hour_summary.id"], name=op.f("fk_hour_count_summary_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_hour_count")),
        comment="numbers of images in an hour of a station, derived from inspection",
    )
    op.create_index("ix_hour_count_summary_id", "hour_count", ["summary_id"], unique=False)
    op.create_table(
        "hour_latency",
        sa.Column("id", _ID, sa.Identity(always=False), nullable=False),
        sa.Column(
            "of_station", sa.BigInteger(), nullable=False, comment="number of the station; 0: all stations"
        ),
        _instant("hour_us", "start of the hour of judgement in UTC"),
        _number("n", "images; the row holds while there are no more"),
        *(
            sa.Column(
                f"{step}_{measure}_ms",
                sa.Double(),
                nullable=False,
                comment=f"{step}_ms: {meaning}; milliseconds",
            )
            for step in ("wait", "decode", "infer", "total")
            for measure, meaning in _MEASURES.items()
        ),
        sa.CheckConstraint("n >= 1", name=op.f("ck_hour_latency_n")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_hour_latency")),
        sa.UniqueConstraint("of_station", "hour_us", "n", name=op.f("uq_hour_latency_of_station_hour_us_n")),
        comment="durations of the images of an hour, derived from inspection",
    )
    for table, key in _KEYS.items():
        _refuse_changes(table, key)


def downgrade() -> None:
    for table in ("hour_latency", "hour_count", "hour_summary"):  # their triggers go with them
        op.drop_table(table)


def _instant(name: str, comment: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=False, comment=f"{comment}; UTC epoch microseconds")


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
