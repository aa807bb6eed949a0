"""Verdicts of other artifacts on inspected images.

Revision: 0009
Revises: 0008
"""

from __future__ import annotations

import re

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

# Frozen here: a later change of inspector.ledger must not change what this revision makes.
_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_NAME = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_REFUSAL = "history is append-only: add a row instead"
_KEY = ("inspection_id", "model_id")


def upgrade() -> None:
    op.create_table(
        "rejudgement",
        sa.Column("id", _ID, sa.Identity(always=False), nullable=False),
        sa.Column("inspection_id", _ID, nullable=False, comment="image that another artifact judged"),
        sa.Column("model_id", _ID, nullable=False, comment="that artifact"),
        sa.Column("settings_id", _ID, nullable=False, comment="thresholds and settings that it judged by"),
        sa.Column(
            "run",
            _NAME,
            nullable=False,
            comment="what asked for it, and since when, such as shadow 2026-01-05T06:00:00+00:00",
        ),
        sa.Column(
            "verdict",
            _NAME,
            nullable=True,
            comment="PASS, FAIL or REVIEW; null: not judged, and reason says why",
        ),
        sa.Column("label", _NAME, nullable=True, comment="class that decided, as in inspection"),
        sa.Column("confidence", sa.Double(), nullable=True, comment="probability of the label, 0 to 1"),
        sa.Column(
            "probabilities", sa.JSON(), nullable=True, comment="class name to probability, in class order"
        ),
        sa.Column("novelty", sa.Double(), nullable=True, comment="as in inspection"),
        sa.Column(
            "reason",
            _NAME,
            nullable=True,
            comment="of a REVIEW, as in inspection; without a verdict: pruned, missing, altered, or of a "
            "file that cannot be read, as in quarantine",
        ),
        sa.Column(
            "judged_us",
            sa.BigInteger(),
            nullable=False,
            comment="time of the judgement; UTC epoch microseconds",
        ),
        sa.CheckConstraint("verdict IN ('PASS', 'FAIL', 'REVIEW')", name=op.f("ck_rejudgement_verdict")),
        sa.CheckConstraint("confidence BETWEEN 0 AND 1", name=op.f("ck_rejudgement_confidence")),
        sa.CheckConstraint(
            "CASE WHEN verdict IS NULL THEN reason IS NOT NULL AND label IS NULL AND confidence IS NULL"
            " AND probabilities IS NULL AND novelty IS NULL"
            " ELSE label IS NOT NULL AND confidence IS NOT NULL AND probabilities IS NOT NULL"
            " AND novelty IS NOT NULL END",
            name=op.f("ck_rejudgement_judged_or_reason"),
        ),
        *(
            sa.ForeignKeyConstraint([f"{table}_id"], [f"{table}.id"], name=op.f(f"fk_rejudgement_{table}_id"))
            for table in ("inspection", "model", "settings")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rejudgement")),
        sa.UniqueConstraint(*_KEY, name=op.f("uq_rejudgement_inspection_id_model_id")),
        comment="verdicts of other artifacts on inspected images, append-only; the station's verdict stays",
    )
    _refuse_changes()
    for name, (comment, query) in _VIEWS.items():
        op.execute(f"CREATE VIEW {name} AS {_with_timestamps(query)}")
        if not _on_sqlite():
            op.execute(f"COMMENT ON VIEW {name} IS '{comment}'")


def downgrade() -> None:
    for name in reversed(_VIEWS):
        op.execute(f"DROP VIEW {name}")
    op.drop_table("rejudgement")  # its triggers go with it


def _refuse_changes() -> None:
    """Refuse UPDATE, DELETE, REPLACE and TRUNCATE; see revisions 0002 and 0005."""
    if not _on_sqlite():
        for name, verbs, each in (
            ("no_change", "UPDATE OR DELETE", "ROW"),
            ("no_truncate", "TRUNCATE", "STATEMENT"),
        ):
            op.execute(
                f"CREATE TRIGGER rejudgement_{name} BEFORE {verbs} ON rejudgement"
                f" FOR EACH {each} EXECUTE FUNCTION refuse_change()"
            )
        return
    for verb in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER rejudgement_no_{verb.lower()} BEFORE {verb} ON rejudgement"
            f" BEGIN SELECT RAISE(ABORT, '{_REFUSAL}'); END"
        )
    equal = (" AND ".join(f"{column} = NEW.{column}" for column in names) for names in (("id",), _KEY))
    found = " OR ".join(f"EXISTS (SELECT 1 FROM rejudgement WHERE {condition})" for condition in equal)  # noqa: S608
    op.execute(
        f"CREATE TRIGGER rejudgement_no_replace BEFORE INSERT ON rejudgement WHEN {found}"  # noqa: S608
        " BEGIN INSERT OR IGNORE INTO append_only VALUES (1); END"
    )


def _on_sqlite() -> bool:
    return op.get_bind().dialect.name == "sqlite"


def _with_timestamps(query: str) -> str:
    form = (
        r"strftime('%Y-%m-%d %H:%M:%f', \1 / 1000000.0, 'unixepoch')"  # text, UTC, to the millisecond
        if _on_sqlite()
        else r"to_timestamp(\1 / 1000000.0)"
    )
    return re.sub(r"\{([\w.]+)\}", form, query)


_VIEWS = {
    "v_rejudgement": (
        "verdicts of other artifacts on inspected images, beside that of the station",
        """
        SELECT r.id, r.inspection_id, s.name AS station, i.source_name, i.verdict AS station_verdict,
               i.label AS station_label, m.name AS model, m.version AS model_version, r.run, r.verdict,
               r.label, r.confidence, r.probabilities, r.novelty, r.reason, {r.judged_us} AS judged_at,
               r.settings_id
        FROM rejudgement r
        JOIN inspection i ON i.id = r.inspection_id
        JOIN station s ON s.id = i.station_id
        JOIN model m ON m.id = r.model_id
        """,
    ),
    "v_disagreement": (
        "images on which another artifact has another verdict than the station, or fails another class",
        """
        SELECT r.id, r.inspection_id, s.name AS station, i.source_name, i.camera, i.part, i.seam, i.pass_no,
               {i.inspected_us} AS inspected_at, o.name AS station_model, o.version AS station_model_version,
               i.verdict AS station_verdict, i.label AS station_label, i.confidence AS station_confidence,
               m.name AS model, m.version AS model_version, r.verdict, r.label, r.confidence, r.reason,
               d.verdict AS human_verdict, d.label AS human_label, d.reviewer,
               r.run, {r.judged_us} AS judged_at, i.archive_path
        FROM rejudgement r
        JOIN inspection i ON i.id = r.inspection_id
        JOIN station s ON s.id = i.station_id
        JOIN model o ON o.id = i.model_id
        JOIN model m ON m.id = r.model_id
        LEFT JOIN v_decision d ON d.inspection_id = i.id
        WHERE r.verdict <> i.verdict OR (r.verdict = 'FAIL' AND r.label <> i.label)
        """,
    ),
}
