"""Views for people with a SQL client, and triggers that keep history as it was written.

SQLAlchemy has no objects for these parts of the schema. As for the tables, a test compares the migrations in
``sql/migrations`` with this module.
"""

from __future__ import annotations

import re

import sqlalchemy as sa

from inspector.ledger.schema import metadata, unique_keys

REFUSAL = "history is append-only: add a row instead"

# Name → comment and query. Views have names instead of ids, and UTC timestamps instead of microseconds. Add
# new columns at the end: PostgreSQL can then replace the view in place, so that its rights and views on it
# remain.
VIEWS: dict[str, tuple[str, str]] = {
    "v_inspection": (
        "one row for each judged image, with the latest human verdict and the final one",
        """
        SELECT i.id, s.name AS station, i.source_name, i.camera, i.part, i.seam, i.pass_no,
               {i.camera_time_us} AS camera_time, {i.seen_us} AS seen_at, {i.inspected_us} AS inspected_at,
               i.local_day, i.shift, i.verdict, i.label, i.confidence, i.probabilities, i.novelty, i.reason,
               r.verdict AS human_verdict, r.label AS human_label, r.reviewer, {r.reviewed_us} AS reviewed_at,
               m.name AS model, m.version AS model_version, i.settings_id,
               i.wait_ms, i.decode_ms, i.infer_ms, i.total_ms, i.batch_size,
               i.sha256, i.duplicate_of, i.archive_path, i.shift_day,
               CASE WHEN r.verdict IN ('PASS', 'FAIL') THEN r.verdict ELSE i.verdict END AS final_verdict
        FROM inspection i
        JOIN station s ON s.id = i.station_id
        JOIN model m ON m.id = i.model_id
        LEFT JOIN review r
          ON r.id = (SELECT max(latest.id) FROM review latest WHERE latest.inspection_id = i.id)
        """,
    ),
    # The reports join this view to every image of a period. Without a GROUP BY both planners look the few
    # reviewed images up by the index.
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
    # Of seam_n consecutive frames of a camera seam_k failed if some failed frame is less than seam_n places
    # before the one that is seam_k - 1 failed frames later. SQLite reads the whole table for one part if a
    # step has a GROUP BY or two kinds of PARTITION BY, so each step has one.
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
    "v_quarantine": (
        "files that could not be inspected, with the reason",
        """
        SELECT q.id, s.name AS station, q.source_name, q.reason, q.detail,
               {q.quarantined_us} AS quarantined_at, q.path, q.sha256, q.shift, q.shift_day
        FROM quarantine q JOIN station s ON s.id = q.station_id
        """,
    ),
    "v_arrival": (
        "the ledger: one row per file that left the drop folder, with its outcome",
        """
        SELECT a.id, s.name AS station, a.source_name, a.outcome, {a.seen_us} AS seen_at,
               {a.recorded_us} AS recorded_at, a.path, a.inspection_id, a.quarantine_id, a.size_bytes,
               {a.mtime_us} AS modified_at, a.sha256
        FROM arrival a JOIN station s ON s.id = a.station_id
        """,
    ),
    "v_review": (
        "every human verdict, beside that of the station",
        """
        SELECT r.id, r.inspection_id, s.name AS station, i.source_name, i.verdict AS station_verdict, i.label,
               r.reviewer, r.verdict AS human_verdict, r.label AS human_label, r.note,
               {r.reviewed_us} AS reviewed_at, r.is_blind
        FROM review r JOIN inspection i ON i.id = r.inspection_id JOIN station s ON s.id = i.station_id
        """,
    ),
    "v_signal_note": (
        "acknowledged signals of the charts, with cause and action",
        """
        SELECT n.id, n.report, n.signal, n.person, n.cause, n.action, {n.noted_us} AS noted_at
        FROM signal_note n
        """,
    ),
    "v_event": (
        "events of the station, such as start, stop and outage",
        """
        SELECT e.id, s.name AS station, {e.at_us} AS at, e.kind, e.detail
        FROM event e JOIN station s ON s.id = e.station_id
        """,
    ),
    "v_model": (
        "artifacts that judged images",
        """
        SELECT m.id, m.name, m.version, {m.first_used_us} AS first_used_at, m.artifact_sha256, m.metadata
        FROM model m
        """,
    ),
    "v_settings": (
        "settings and thresholds that were in force",
        """
        SELECT t.id, {t.first_used_us} AS first_used_at, t.content, t.sha256
        FROM settings t
        """,
    ),
    "v_audit_sample": (
        "PASS images of random draws, with the latest human verdict",
        """
        SELECT a.id, a.inspection_id, s.name AS station, i.source_name, i.archive_path,
               {a.drawn_us} AS drawn_at, a.seed, a.population, r.verdict AS human_verdict,
               r.label AS human_label
        FROM audit_sample a
        JOIN inspection i ON i.id = a.inspection_id
        JOIN station s ON s.id = i.station_id
        LEFT JOIN review r
          ON r.id = (SELECT max(latest.id) FROM review latest WHERE latest.inspection_id = i.id)
        """,
    ),
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


def create_views(dialect: str) -> list[str]:
    """Return a CREATE VIEW for each view, on PostgreSQL with a COMMENT ON VIEW."""
    statements = []
    for name, (comment, query) in VIEWS.items():
        statements.append(f"CREATE VIEW {name} AS {with_timestamps(query, dialect)}")
        if dialect == "postgresql":
            statements.append(f"COMMENT ON VIEW {name} IS '{comment}'")
    return statements


def create_triggers(dialect: str) -> list[str]:
    """Return triggers on every table that refuse UPDATE, DELETE, REPLACE and TRUNCATE to every user.

    They protect against mistakes, because the owner of the tables can drop them. Roles protect against
    intent: those of ``sql/roles.sql``, and on SQLite the permissions of the file.
    """
    tables = sorted(metadata.tables)
    if dialect == "sqlite":
        return [
            *(
                f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table}"
                f" BEGIN SELECT RAISE(ABORT, '{REFUSAL}'); END"
                for table in tables
                for verb in ("UPDATE", "DELETE")
            ),
            *_refuse_replace(),
        ]
    function = (
        "CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        f" RAISE EXCEPTION '{REFUSAL}' USING ERRCODE = 'integrity_constraint_violation'; END $$"
    )
    return [
        function,
        *(
            f"CREATE TRIGGER {table}_{name} BEFORE {verbs} ON {table}"
            f" FOR EACH {each} EXECUTE FUNCTION refuse_change()"
            for table in tables
            for name, verbs, each in (
                ("no_change", "UPDATE OR DELETE", "ROW"),
                ("no_truncate", "TRUNCATE", "STATEMENT"),
            )
        ),
    ]


def missing_triggers(connection: sa.Connection) -> list[str]:
    """Return the names of those of :func:`create_triggers` that are not there, or are switched off."""
    dialect = connection.dialect.name
    wanted = {statement.split()[2] for statement in create_triggers(dialect) if "CREATE TRIGGER" in statement}
    found = {
        "sqlite": "SELECT name FROM sqlite_master WHERE type = 'trigger'",
        "postgresql": "SELECT tgname FROM pg_trigger WHERE tgenabled IN ('O', 'A')",
    }
    return sorted(wanted - set(connection.scalars(sa.text(found[dialect]))))


def _refuse_replace() -> list[str]:
    """Return what refuses INSERT OR REPLACE on SQLite, for which no DELETE trigger fires.

    A BEFORE INSERT trigger cannot ask whether a conflict will replace the row, be ignored or be an error. But
    the statements in it are carried out in the same way. So the trigger adds a row that no table may hold: it
    is ignored, except in a REPLACE, which a CHECK constraint always ends.
    """
    return [
        f'CREATE TABLE append_only (no_row INTEGER, CONSTRAINT "{REFUSAL}" CHECK (0))',
        *(
            f"CREATE TRIGGER {name}_no_replace BEFORE INSERT ON {name} WHEN {_exists_already(table)}"  # noqa: S608
            " BEGIN INSERT OR IGNORE INTO append_only VALUES (1); END"
            for name, table in sorted(metadata.tables.items())
        ),
    ]


def _exists_already(table: sa.Table) -> str:
    """Return the condition that a row with a key of the new row is there."""
    keys = [list(table.primary_key.columns)]
    keys += unique_keys(table)
    equal = (" AND ".join(f"{column.name} = NEW.{column.name}" for column in key) for key in keys)
    found = (f"SELECT 1 FROM {table.name} WHERE {condition}" for condition in equal)  # noqa: S608
    return " OR ".join(f"EXISTS ({query})" for query in found)


def with_timestamps(query: str, dialect: str) -> str:
    """Return the query with each ``{column}`` of microseconds as a timestamp, on SQLite as UTC text."""
    if dialect == "sqlite":
        form = r"strftime('%Y-%m-%d %H:%M:%f', \1 / 1000000.0, 'unixepoch')"
    else:
        form = r"to_timestamp(\1 / 1000000.0)"
    return re.sub(r"\{([\w.]+)\}", form, query)
