"""Final verdicts: people's verdicts on passes over a seam, and views that say what counts in the end.

Revision: 0006
Revises: 0005
"""

from __future__ import annotations

import re

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

# Frozen here: a later change of inspector.ledger must not change what this revision makes.
_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_NAME = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_REFUSAL = "history is append-only: add a row instead"


def upgrade() -> None:
    op.create_table(
        "seam_review",
        sa.Column("id", _ID, sa.Identity(always=False), nullable=False),
        sa.Column(
            "inspection_id",
            _ID,
            nullable=False,
            comment="newest frame of the pass over a seam that a person reviewed",
        ),
        sa.Column("reviewer", _NAME, nullable=False, comment="name of the person"),
        sa.Column(
            "verdict",
            _NAME,
            nullable=False,
            comment="the person's on the whole pass: PASS, FAIL, or REVIEW if undecided",
        ),
        sa.Column("note", sa.Text(), nullable=True, comment="free text"),
        sa.Column(
            "reviewed_us",
            sa.BigInteger(),
            nullable=False,
            comment="time of the review; UTC epoch microseconds",
        ),
        sa.CheckConstraint("verdict IN ('PASS', 'FAIL', 'REVIEW')", name=op.f("ck_seam_review_verdict")),
        sa.ForeignKeyConstraint(
            ["inspection_id"], ["inspection.id"], name=op.f("fk_seam_review_inspection_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_seam_review")),
        comment="human verdicts on passes over a seam, append-only: the latest row of a pass counts",
    )
    op.create_index("ix_seam_review_inspection_id", "seam_review", ["inspection_id"], unique=False)
    for trigger in _triggers():
        op.execute(trigger)
    _make_inspection_view(
        _INSPECTION + _FINAL, "one row for each judged image, with the latest human verdict and the final one"
    )
    for name, (comment, query) in _VIEWS.items():
        op.execute(f"CREATE VIEW {name} AS {_with_timestamps(query)}")
        _comment(name, comment)


def downgrade() -> None:
    for name in (*reversed(_VIEWS), "v_inspection"):
        op.execute(f"DROP VIEW {name}")
    op.drop_table("seam_review")  # its triggers go with it
    _make_inspection_view(_INSPECTION, "one row for each judged image, with the latest human verdict")


def _triggers() -> list[str]:
    if _on_sqlite():
        refuse = f"BEGIN SELECT RAISE(ABORT, '{_REFUSAL}'); END"
        return [
            *(
                f"CREATE TRIGGER seam_review_no_{verb.lower()} BEFORE {verb} ON seam_review {refuse}"
                for verb in ("UPDATE", "DELETE")
            ),
            "CREATE TRIGGER seam_review_no_replace BEFORE INSERT ON seam_review"
            " WHEN EXISTS (SELECT 1 FROM seam_review WHERE id = NEW.id)"
            " BEGIN INSERT OR IGNORE INTO append_only VALUES (1); END",
        ]
    return [
        "CREATE TRIGGER seam_review_no_change BEFORE UPDATE OR DELETE ON seam_review"
        " FOR EACH ROW EXECUTE FUNCTION refuse_change()",
        "CREATE TRIGGER seam_review_no_truncate BEFORE TRUNCATE ON seam_review"
        " FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()",
    ]


def _make_inspection_view(query: str, comment: str) -> None:
    """Replace the view, on PostgreSQL in place if it only gains a column: rights and views on it remain."""
    if _on_sqlite():
        op.execute("DROP VIEW IF EXISTS v_inspection")
    create = "CREATE VIEW" if _on_sqlite() else "CREATE OR REPLACE VIEW"
    op.execute(f"{create} v_inspection AS {_with_timestamps(query + _FROM_INSPECTION)}")
    _comment("v_inspection", comment)


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


_INSPECTION = """
        SELECT i.id, s.name AS station, i.source_name, i.camera, i.part, i.seam, i.pass_no,
               {i.camera_time_us} AS camera_time, {i.seen_us} AS seen_at, {i.inspected_us} AS inspected_at,
               i.local_day, i.shift, i.verdict, i.label, i.confidence, i.probabilities, i.novelty, i.reason,
               r.verdict AS human_verdict, r.label AS human_label, r.reviewer, {r.reviewed_us} AS reviewed_at,
               m.name AS model, m.version AS model_version, i.settings_id,
               i.wait_ms, i.decode_ms, i.infer_ms, i.total_ms, i.batch_size,
               i.sha256, i.duplicate_of, i.archive_path, i.shift_day"""
_FINAL = """,
               CASE WHEN r.verdict IN ('PASS', 'FAIL') THEN r.verdict ELSE i.verdict END AS final_verdict"""
_FROM_INSPECTION = """
        FROM inspection i
        JOIN station s ON s.id = i.station_id
        JOIN model m ON m.id = i.model_id
        LEFT JOIN review r
          ON r.id = (SELECT max(latest.id) FROM review latest WHERE latest.inspection_id = i.id)
        """
_VIEWS = {
    "v_decision": (
        "images that a person decided: the latest human verdict if it is PASS or FAIL",
        """
        SELECT r.inspection_id, r.verdict, r.label, r.reviewer, {r.reviewed_us} AS reviewed_at
        FROM review r
        WHERE r.verdict <> 'REVIEW'
          AND NOT EXISTS (
              SELECT 1 FROM review later
              WHERE later.inspection_id = r.inspection_id AND later.id > r.id)
        """,
    ),
    "v_seam": (
        "passes over a seam, with their verdicts by the settings in force at the newest frame",
        """
        WITH frame AS (
            SELECT i.id, s.name AS station, i.part, i.seam, i.pass_no, i.camera, i.taken_us, i.settings_id,
                   i.verdict, coalesce(d.verdict, i.verdict) AS final_verdict,
                   row_number() OVER (
                       PARTITION BY s.name, i.part, i.seam, i.pass_no, i.camera ORDER BY i.taken_us, i.id
                   ) AS place
            FROM inspection i
            JOIN station s ON s.id = i.station_id
            LEFT JOIN v_decision d ON d.inspection_id = i.id
            WHERE i.part IS NOT NULL
              AND (i.duplicate_of IS NULL OR NOT EXISTS (
                  SELECT 1 FROM inspection o
                  WHERE (o.id = i.duplicate_of OR o.duplicate_of = i.duplicate_of) AND o.id < i.id
                    AND o.station_id = i.station_id AND o.part = i.part
                    AND coalesce(o.seam, '') = coalesce(i.seam, '') AND o.pass_no = i.pass_no))
        ),
        latest AS (
            SELECT f.*,
                   first_value(f.settings_id) OVER (
                       PARTITION BY f.station, f.part, f.seam, f.pass_no ORDER BY f.id DESC
                   ) AS rule_id
            FROM frame f
        ),
        rule AS (
            SELECT id, coalesce(CAST(content ->> 'seam_k' AS INTEGER), 3) AS seam_k,
                   coalesce(CAST(content ->> 'seam_n' AS INTEGER), 5) AS seam_n,
                   coalesce(CAST(content ->> 'seam_min_frames' AS INTEGER), 5) AS seam_min_frames
            FROM settings
        ),
        reaching AS (
            SELECT f.*, r.seam_k, r.seam_n, r.seam_min_frames,
                   lead(f.place, r.seam_k - 1) OVER (
                       PARTITION BY f.station, f.part, f.seam, f.pass_no, f.camera, f.verdict
                       ORDER BY f.place
                   ) - f.place AS span
            FROM latest f
            JOIN rule r ON r.id = f.rule_id
        ),
        reaching_finally AS (
            SELECT f.*,
                   lead(f.place, f.seam_k - 1) OVER (
                       PARTITION BY f.station, f.part, f.seam, f.pass_no, f.camera, f.final_verdict
                       ORDER BY f.place
                   ) - f.place AS final_span
            FROM reaching f
        ),
        counted AS (
            SELECT f.*,
                   row_number() OVER (
                       PARTITION BY f.station, f.part, f.seam, f.pass_no ORDER BY f.id DESC
                   ) AS age,
                   count(*) OVER pass AS n,
                   count(CASE WHEN f.verdict = 'FAIL' THEN 1 END) OVER pass AS failed,
                   count(CASE WHEN f.verdict = 'REVIEW' THEN 1 END) OVER pass AS review,
                   count(CASE WHEN f.verdict = 'FAIL' AND f.span < f.seam_n THEN 1 END) OVER pass
                       AS stretches,
                   count(CASE WHEN f.final_verdict = 'FAIL' THEN 1 END) OVER pass AS final_failed,
                   count(CASE WHEN f.final_verdict = 'REVIEW' THEN 1 END) OVER pass AS final_review,
                   count(CASE WHEN f.final_verdict = 'FAIL' AND f.final_span < f.seam_n THEN 1 END) OVER pass
                       AS final_stretches,
                   min(f.taken_us) OVER pass AS first_us,
                   max(f.taken_us) OVER pass AS last_us
            FROM reaching_finally f
            WINDOW pass AS (PARTITION BY f.station, f.part, f.seam, f.pass_no)
        ),
        said AS (
            SELECT s.name AS station, i.part, i.seam, i.pass_no, r.inspection_id AS newest_id, r.verdict,
                   r.reviewer, r.reviewed_us,
                   row_number() OVER (PARTITION BY s.name, i.part, i.seam, i.pass_no ORDER BY r.id DESC)
                       AS age
            FROM seam_review r
            JOIN inspection i ON i.id = r.inspection_id
            JOIN station s ON s.id = i.station_id
        )
        SELECT p.station, p.part, p.seam, p.pass_no, p.n, p.failed, p.review,
               CASE WHEN p.stretches > 0 THEN 'FAIL'
                    WHEN p.review > 0 OR p.n < p.seam_min_frames THEN 'REVIEW'
                    ELSE 'PASS' END AS verdict,
               p.final_failed, p.final_review,
               CASE WHEN r.verdict = 'FAIL' THEN 'FAIL'
                    WHEN r.verdict = 'PASS' AND p.id <= r.newest_id THEN 'PASS'
                    WHEN p.final_stretches > 0 THEN 'FAIL'
                    WHEN p.final_review > 0 OR p.n < p.seam_min_frames THEN 'REVIEW'
                    ELSE 'PASS' END AS final_verdict,
               r.verdict AS human_verdict, r.reviewer, {r.reviewed_us} AS reviewed_at,
               {p.first_us} AS first_at, {p.last_us} AS last_at
        FROM counted p
        LEFT JOIN said r
          ON r.station = p.station AND r.part = p.part AND coalesce(r.seam, '') = coalesce(p.seam, '')
             AND r.pass_no = p.pass_no AND r.age = 1
        WHERE p.age = 1
        """,
    ),
}
