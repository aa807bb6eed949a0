"""Append-only history, random audit samples, and views for the tables that had none.

Revision: 0002
Revises: 0001
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

# Frozen here: a later change of inspector.ledger.schema must not change what this revision makes.
_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_TABLES = (
    "arrival",
    "audit_sample",
    "event",
    "inspection",
    "model",
    "quarantine",
    "review",
    "settings",
    "station",
)
_REFUSAL = "history is append-only: add a row instead"


def upgrade() -> None:
    op.create_table(
        "audit_sample",
        sa.Column("id", _ID, sa.Identity(always=False), nullable=False),
        sa.Column(
            "inspection_id",
            _ID,
            nullable=False,
            comment="a PASS image that chance chose for a person to look at",
        ),
        sa.Column("seed", sa.BigInteger(), nullable=False, comment="of the draw, to draw the same again"),
        sa.Column(
            "population", sa.BigInteger(), nullable=False, comment="PASS images that it was drawn from"
        ),
        sa.Column("drawn_us", sa.BigInteger(), nullable=False, comment="when; UTC epoch microseconds"),
        sa.CheckConstraint("population >= 1", name=op.f("ck_audit_sample_population")),
        sa.ForeignKeyConstraint(
            ["inspection_id"], ["inspection.id"], name=op.f("fk_audit_sample_inspection_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_sample")),
        sa.UniqueConstraint("inspection_id", name=op.f("uq_audit_sample_inspection_id")),
        comment="random samples of PASS images: only their reviews tell how many defects are let through",
    )
    op.create_index(
        "ix_inspection_duplicate_of",
        "inspection",
        ["duplicate_of"],
        sqlite_where=sa.text("duplicate_of IS NOT NULL"),
        postgresql_where=sa.text("duplicate_of IS NOT NULL"),
    )
    for name, query in _VIEWS.items():
        op.execute(f"CREATE VIEW {name} AS {_with_timestamps(name, query)}")
    if _on_sqlite():
        for table in _TABLES:
            for verb in ("UPDATE", "DELETE"):
                op.execute(
                    f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table}"
                    f" BEGIN SELECT RAISE(ABORT, '{_REFUSAL}'); END"
                )
        return
    for name, comment in _COMMENTS.items():
        op.execute(f"COMMENT ON VIEW {name} IS '{comment}'")
    op.execute(
        "CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        f" RAISE EXCEPTION '{_REFUSAL}' USING ERRCODE = 'integrity_constraint_violation'; END $$"
    )
    for table in _TABLES:
        op.execute(
            f"CREATE TRIGGER {table}_no_change BEFORE UPDATE OR DELETE ON {table}"
            " FOR EACH ROW EXECUTE FUNCTION refuse_change()"
        )
        op.execute(
            f"CREATE TRIGGER {table}_no_truncate BEFORE TRUNCATE ON {table}"
            " FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )


def downgrade() -> None:
    for name in reversed(_VIEWS):
        op.execute(f"DROP VIEW {name}")
    if _on_sqlite():
        for table in _TABLES:
            for verb in ("update", "delete"):
                op.execute(f"DROP TRIGGER {table}_no_{verb}")
    else:
        op.execute("DROP FUNCTION refuse_change() CASCADE")  # its triggers go with it
        for name in _COMMENTS.keys() - _VIEWS.keys():
            op.execute(f"COMMENT ON VIEW {name} IS NULL")
    op.drop_index("ix_inspection_duplicate_of", table_name="inspection")
    op.drop_table("audit_sample")


def _on_sqlite() -> bool:
    return op.get_bind().dialect.name == "sqlite"


_COMMENTS = {
    "v_inspection": "one row for each judged image, with the latest human verdict",
    "v_quarantine": "files that cannot be inspected, and why",
    "v_arrival": "the ledger: each file that left the drop folder, and what became of it",
    "v_review": "every human verdict, beside that of the station",
    "v_event": "what happened to the station, apart from images",
    "v_model": "artifacts that have judged",
    "v_settings": "settings and thresholds that were in force",
    "v_audit_sample": "PASS images that chance chose for a person, with what the person said last",
}
_VIEWS = {
    "v_model": """
        SELECT m.id, m.name, m.version, {at} AS first_used_at, m.artifact_sha256, m.metadata
        FROM model m
        """,
    "v_settings": """
        SELECT t.id, {at} AS first_used_at, t.content, t.sha256
        FROM settings t
        """,
    "v_audit_sample": """
        SELECT a.id, a.inspection_id, s.name AS station, i.source_name, i.archive_path,
               {at} AS drawn_at, a.seed, a.population, r.verdict AS human_verdict,
               r.label AS human_label
        FROM audit_sample a
        JOIN inspection i ON i.id = a.inspection_id
        JOIN station s ON s.id = i.station_id
        LEFT JOIN review r
          ON r.id = (SELECT max(latest.id) FROM review latest WHERE latest.inspection_id = i.id)
        """,
}
_TIMES = {"v_model": "m.first_used_us", "v_settings": "t.first_used_us", "v_audit_sample": "a.drawn_us"}


def _with_timestamps(name: str, query: str) -> str:
    form = (
        "strftime('%Y-%m-%d %H:%M:%f', {} / 1000000.0, 'unixepoch')"  # text, UTC, to the millisecond
        if _on_sqlite()
        else "to_timestamp({} / 1000000.0)"
    )
    return query.format(at=form.format(_TIMES[name]))
