"""For the review console: keys of requests, blind verdicts, and notes of people on signals of the charts.

Revision: 0007
Revises: 0006
"""

from __future__ import annotations

import re

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

# Frozen here: a later change of inspector.ledger must not change what this revision makes.
_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_NAME = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_REFUSAL = "history is append-only: add a row instead"
_KEY_COMMENT = "of the request that added the row; sent again, it adds none"
_TABLES = ("review", "seam_review")


def upgrade() -> None:
    for table in _TABLES:
        op.add_column(table, sa.Column("request_key", _NAME, nullable=True, comment=_KEY_COMMENT))
        op.create_index(f"ix_{table}_request_key", table, ["request_key"], unique=True)
        _refuse_replace(table, "id", "request_key")
    op.add_column(
        "review",
        sa.Column(
            "is_blind",
            sa.Boolean(),
            nullable=True,
            comment="true: the person did not see the station's verdict before; null: not known",
        ),
    )
    op.create_table(
        "signal_note",
        sa.Column("id", _ID, sa.Identity(always=False), nullable=False),
        sa.Column("report", _NAME, nullable=False, comment="report that shows the signal, such as p_chart"),
        sa.Column("signal", _NAME, nullable=False, comment="key of the signal in the report signals"),
        sa.Column("person", _NAME, nullable=False, comment="name of the person"),
        sa.Column("cause", sa.Text(), nullable=False, comment="cause of the signal, as far as it is known"),
        sa.Column("action", sa.Text(), nullable=False, comment="what was done about it"),
        sa.Column(
            "noted_us", sa.BigInteger(), nullable=False, comment="time of the note; UTC epoch microseconds"
        ),
        sa.Column("request_key", _NAME, nullable=False, comment=_KEY_COMMENT),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_signal_note")),
        sa.UniqueConstraint("request_key", name=op.f("uq_signal_note_request_key")),
        comment="acknowledged signals of the charts, append-only: the latest row of a signal counts",
    )
    op.create_index("ix_signal_note_signal", "signal_note", ["report", "signal", "id"], unique=False)
    _refuse_changes("signal_note")
    _refuse_replace("signal_note", "id", "request_key")
    _make_review_view(_REVIEW + ", r.is_blind")
    op.execute(f"CREATE VIEW v_signal_note AS {_with_timestamps(_SIGNAL_NOTE)}")
    _comment("v_signal_note", "acknowledged signals of the charts, with cause and action")


def downgrade() -> None:
    for view in ("v_signal_note", "v_review"):
        op.execute(f"DROP VIEW {view}")
    op.drop_table("signal_note")  # its triggers go with it
    for table in _TABLES:
        if _on_sqlite():
            op.execute(f"DROP TRIGGER {table}_no_replace")
        op.drop_index(f"ix_{table}_request_key", table)
        op.execute(f"ALTER TABLE {table} DROP COLUMN request_key")
        _refuse_replace(table, "id")
    op.execute("ALTER TABLE review DROP COLUMN is_blind")
    _make_review_view(_REVIEW)


def _refuse_changes(table: str) -> None:
    if _on_sqlite():
        for verb in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table}"
                f" BEGIN SELECT RAISE(ABORT, '{_REFUSAL}'); END"
            )
        return
    for name, verbs, each in (
        ("no_change", "UPDATE OR DELETE", "ROW"),
        ("no_truncate", "TRUNCATE", "STATEMENT"),
    ):
        op.execute(
            f"CREATE TRIGGER {table}_{name} BEFORE {verbs} ON {table}"
            f" FOR EACH {each} EXECUTE FUNCTION refuse_change()"
        )


def _refuse_replace(table: str, *keys: str) -> None:
    """Refuse INSERT OR REPLACE on SQLite; see revision 0005."""
    if _on_sqlite():
        found = (f"EXISTS (SELECT 1 FROM {table} WHERE {key} = NEW.{key})" for key in keys)  # noqa: S608
        op.execute(f"DROP TRIGGER IF EXISTS {table}_no_replace")
        op.execute(
            f"CREATE TRIGGER {table}_no_replace BEFORE INSERT ON {table} WHEN {' OR '.join(found)}"  # noqa: S608
            " BEGIN INSERT OR IGNORE INTO append_only VALUES (1); END"
        )


def _make_review_view(query: str) -> None:
    """Replace the view, on PostgreSQL in place if it only gains a column: rights and views on it remain."""
    if _on_sqlite():
        op.execute("DROP VIEW IF EXISTS v_review")
    create = "CREATE VIEW" if _on_sqlite() else "CREATE OR REPLACE VIEW"
    op.execute(f"{create} v_review AS {_with_timestamps(query + _FROM_REVIEW)}")
    _comment("v_review", "every human verdict, beside that of the station")


def _comment(view: str, comment: str) -> None:
    if not _on_sqlite():
        op.execute(f"COMMENT ON VIEW {view} IS '{comment}'")


def _on_sqlite() -> bool:
    return op.get_bind().dialect.name == "sqlite"


def _with_timestamps(query: str) -> str:
    form = (
        r"strftime('%Y-%m-%d %H:%M:%f', \1 / 1000000.0, 'unixepoch')"  # text, UTC, to the millisecond
        if _on_sqlite()
        else r"to_timestamp(\1 / 1000000.0)"
    )
    return re.sub(r"\{([\w.]+)\}", form, query)


_REVIEW = """
        SELECT r.id, r.inspection_id, s.name AS station, i.source_name, i.verdict AS station_verdict, i.label,
               r.reviewer, r.verdict AS human_verdict, r.label AS human_label, r.note,
               {r.reviewed_us} AS reviewed_at"""
_FROM_REVIEW = """
        FROM review r JOIN inspection i ON i.id = r.inspection_id JOIN station s ON s.id = i.station_id
        """
_SIGNAL_NOTE = """
        SELECT n.id, n.report, n.signal, n.person, n.cause, n.action, {n.noted_us} AS noted_at
        FROM signal_note n
        """
