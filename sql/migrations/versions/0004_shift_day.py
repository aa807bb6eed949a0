"""The day on which a shift began, for inspections and quarantined files; for the latter the shift is new too.

Existing rows get it once, by the rule by which the reports guessed it before: a shift goes on over midnight,
ends when the station sees none of its images for twelve hours, and belongs to the day of its first image.
An unreadable file gets the shift of the image that its station judged last before it, else first after it,
within twelve hours.

Revision: 0004
Revises: 0003
"""

from __future__ import annotations

import re

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_REFUSAL = "history is append-only: add a row instead"
_TABLES = ("inspection", "quarantine")
_SHIFT_DAY_COMMENT = "ISO date of the day on which the shift began; null if an earlier version wrote it"
_COMMENTS = {
    "inspection.shift_day": _SHIFT_DAY_COMMENT,
    "quarantine.shift_day": _SHIFT_DAY_COMMENT,
    "quarantine.shift": "the settings' name of the shift; null if an earlier version wrote it",
}
_US = "; UTC epoch microseconds"
_PLAIN_COMMENTS = {  # comments of the tables in plainer words: before and after
    "TABLE model": (
        "artifacts that have judged",
        "artifacts that judged images",
    ),
    "TABLE inspection": (
        "one judged image a row; what the model said is never changed",
        "one row per judged image; the station's verdict never changes",
    ),
    "TABLE quarantine": (
        "files that cannot be inspected, and why",
        "files that could not be inspected, with the reason",
    ),
    "TABLE arrival": (
        "the ledger, append-only: each file that left the drop folder, and what became of it",
        "the ledger, append-only: one row per file that left the drop folder, with its outcome",
    ),
    "TABLE audit_sample": (
        "random samples of PASS images: only their reviews tell how many defects are let through",
        "random samples of PASS images: their reviews estimate how many defects pass",
    ),
    "TABLE event": (
        "what happened to the station, apart from images",
        "events of the station, such as start, stop and outage",
    ),
    "VIEW v_quarantine": (
        "files that cannot be inspected, and why",
        "files that could not be inspected, with the reason",
    ),
    "VIEW v_arrival": (
        "the ledger: each file that left the drop folder, and what became of it",
        "the ledger: one row per file that left the drop folder, with its outcome",
    ),
    "VIEW v_event": (
        "what happened to the station, apart from images",
        "events of the station, such as start, stop and outage",
    ),
    "VIEW v_model": (
        "artifacts that have judged",
        "artifacts that judged images",
    ),
    "VIEW v_audit_sample": (
        "PASS images that chance chose for a person, with what the person said last",
        "PASS images of random draws, with the latest human verdict",
    ),
    "COLUMN inspection.station_id": (
        "who inspected",
        "station that inspected",
    ),
    "COLUMN inspection.model_id": (
        "which artifact judged",
        "artifact that judged",
    ),
    "COLUMN inspection.seen_us": (
        "its close where that was seen, else first sight, by our clock" + _US,
        "close of the file if it was seen, else first sight, by the station's clock" + _US,
    ),
    "COLUMN inspection.taken_us": (
        "camera time where known, else seen: what passes go by" + _US,
        "camera time if known, else seen_us; passes go by it" + _US,
    ),
    "COLUMN inspection.inspected_us": (
        "when it was judged: what report periods go by" + _US,
        "time of the judgement; the periods of reports go by it" + _US,
    ),
    "COLUMN inspection.label": (
        "class of the highest probability",
        "class that decided; in rows of earlier versions the most probable one",
    ),
    "COLUMN inspection.reason": (
        "why a REVIEW is one: uncertain, novel, blank, saturated",
        "reason of a REVIEW: uncertain, novel, blank, saturated",
    ),
    "COLUMN inspection.archive_path": (
        "place in the archive folder",
        "path in the archive folder",
    ),
    "COLUMN quarantine.station_id": (
        "who could not inspect it",
        "station that could not inspect it",
    ),
    "COLUMN quarantine.quarantined_us": (
        "when it was given up" + _US,
        "time when it was given up" + _US,
    ),
    "COLUMN quarantine.path": (
        "place in the quarantine folder",
        "path in the quarantine folder",
    ),
    "COLUMN arrival.station_id": (
        "whose folders",
        "station of the folders",
    ),
    "COLUMN arrival.seen_us": (
        "its close where that was seen, else first sight" + _US,
        "close of the file if it was seen, else first sight" + _US,
    ),
    "COLUMN arrival.recorded_us": (
        "when this row was made" + _US,
        "time when this row was made" + _US,
    ),
    "COLUMN arrival.inspection_id": (
        "its judgement, or the first one of a duplicate",
        "its inspection; for a duplicate the first one",
    ),
    "COLUMN arrival.quarantine_id": (
        "why it could not be inspected",
        "its row in quarantine",
    ),
    "COLUMN arrival.path": (
        "place in the archive (inspection_id set) or quarantine folder",
        "path in the archive (inspection_id is set) or quarantine folder",
    ),
    "COLUMN review.inspection_id": (
        "the image that a person looked at",
        "image that a person reviewed",
    ),
    "COLUMN review.reviewer": (
        "who looked",
        "name of the person",
    ),
    "COLUMN review.verdict": (
        "the person's: PASS, FAIL, or REVIEW where they cannot tell",
        "the person's: PASS, FAIL, or REVIEW if undecided",
    ),
    "COLUMN review.label": (
        "the person's class, where they named one",
        "the person's class, if one was named",
    ),
    "COLUMN review.reviewed_us": (
        "when" + _US,
        "time of the review" + _US,
    ),
    "COLUMN audit_sample.inspection_id": (
        "a PASS image that chance chose for a person to look at",
        "PASS image of a random draw, for a person to review",
    ),
    "COLUMN audit_sample.seed": (
        "of the draw, to draw the same again",
        "seed of the draw, which repeats it",
    ),
    "COLUMN audit_sample.population": (
        "PASS images that it was drawn from",
        "number of PASS images that could be drawn",
    ),
    "COLUMN audit_sample.drawn_us": (
        "when" + _US,
        "time of the draw" + _US,
    ),
    "COLUMN event.station_id": (
        "whose",
        "station of the event",
    ),
    "COLUMN event.kind": (
        "start, stop, outage, overflow, reload and the like",
        "start, stop, outage, overflow, reload and others",
    ),
    "COLUMN event.at_us": (
        "when" + _US,
        "time of the event" + _US,
    ),
}


def upgrade() -> None:
    text = "TEXT" if _on_sqlite() else 'TEXT COLLATE "C"'
    op.execute(f"ALTER TABLE quarantine ADD COLUMN shift {text}")
    for table in _TABLES:
        op.execute(
            f"ALTER TABLE {table} ADD COLUMN shift_day {text}"
            f" CONSTRAINT ck_{table}_shift_day CHECK (length(shift_day) = 10)"
        )
    _comment([(f"COLUMN {column}", comment) for column, comment in _COMMENTS.items()])
    _allow_updates()
    op.execute(_SHIFT_HOURS.replace("{day_before}", _day_before()))
    op.execute("CREATE INDEX shift_hour_key ON shift_hour (station_id, shift, hour_us, local_day)")
    op.execute(_FILL_INSPECTION)
    op.execute("DROP TABLE shift_hour")
    op.execute(_FILL_QUARANTINE)
    _refuse_updates()
    _make_views(_INSPECTION + ", i.shift_day", _QUARANTINE + ", q.shift, q.shift_day")
    _comment([(thing, new) for thing, (_, new) in _PLAIN_COMMENTS.items()])


def downgrade() -> None:
    for view in ("v_inspection", "v_quarantine"):
        op.execute(f"DROP VIEW {view}")
    for table in _TABLES:
        op.execute(f"ALTER TABLE {table} DROP COLUMN shift_day")
    op.execute("ALTER TABLE quarantine DROP COLUMN shift")
    _make_views(_INSPECTION, _QUARANTINE)
    _comment([(thing, old) for thing, (old, _) in _PLAIN_COMMENTS.items()])


def _comment(comments: list[tuple[str, str]]) -> None:
    """Set the comments of tables, views and columns; SQLite stores none."""
    if not _on_sqlite():
        for thing, comment in comments:
            quoted = comment.replace("'", "''")
            op.execute(f"COMMENT ON {thing} IS '{quoted}'")


def _on_sqlite() -> bool:
    return op.get_bind().dialect.name == "sqlite"


def _day_before() -> str:
    """SQL: the ISO date of the day before ``first_day``."""
    if _on_sqlite():
        return "date(first_day, '-1 day')"
    return "to_char(CAST(first_day AS date) - 1, 'YYYY-MM-DD')"


def _allow_updates() -> None:
    for table in _TABLES:
        if _on_sqlite():
            op.execute(f"DROP TRIGGER {table}_no_update")
        else:
            op.execute(f"ALTER TABLE {table} DISABLE TRIGGER {table}_no_change")


def _refuse_updates() -> None:
    for table in _TABLES:
        if _on_sqlite():
            op.execute(
                f"CREATE TRIGGER {table}_no_update BEFORE UPDATE ON {table}"
                f" BEGIN SELECT RAISE(ABORT, '{_REFUSAL}'); END"
            )
        else:
            op.execute(f"ALTER TABLE {table} ENABLE TRIGGER {table}_no_change")


# For each hour of a station's shift, the day on which the shift began. Two things together show that this was
# the day before: the shift is the first of its day and not the last; and shifts of its name go on over
# midnight elsewhere, or another one of its name begins on this day.
_SHIFT_HOURS = """
CREATE TEMPORARY TABLE shift_hour AS
WITH hourly AS (
    SELECT
        station_id,
        shift,
        local_day,
        seen_us - ((seen_us % 3600000000) + 3600000000) % 3600000000 AS hour_us
    FROM inspection
    GROUP BY station_id, shift, local_day, hour_us
),
begun AS (
    SELECT
        hourly.*,
        CASE WHEN hour_us - lag(hour_us) OVER (PARTITION BY station_id, shift ORDER BY hour_us, local_day)
            <= 43200000000 THEN 0 ELSE 1 END AS begins
    FROM hourly
),
turned AS (
    SELECT
        begun.*,
        sum(begins) OVER (PARTITION BY station_id, shift ORDER BY hour_us, local_day) AS turn,
        min(hour_us) OVER (PARTITION BY station_id, local_day) AS day_from_us,
        max(hour_us) OVER (PARTITION BY station_id, local_day) AS day_to_us
    FROM begun
),
turn AS (
    SELECT
        station_id,
        shift,
        turn,
        min(local_day) AS first_day,
        CASE WHEN min(local_day) = max(local_day) AND min(hour_us) = min(day_from_us)
            AND max(hour_us) < max(day_to_us) THEN 1 ELSE 0 END AS early,
        max(CASE WHEN min(local_day) < max(local_day) THEN 1 ELSE 0 END)
            OVER (PARTITION BY station_id, shift) AS wraps,
        count(*) OVER (PARTITION BY station_id, shift, min(local_day)) AS twins
    FROM turned
    GROUP BY station_id, shift, turn
)
SELECT
    h.station_id,
    h.shift,
    h.local_day,
    h.hour_us,
    CASE WHEN t.early = 1 AND (t.wraps = 1 OR t.twins > 1) THEN {day_before} ELSE t.first_day END AS shift_day
FROM turned h
JOIN turn t ON t.station_id = h.station_id AND t.shift = h.shift AND t.turn = h.turn
"""
_FILL_INSPECTION = """
UPDATE inspection SET shift_day = h.shift_day
FROM shift_hour h
WHERE h.station_id = inspection.station_id
  AND h.shift = inspection.shift
  AND h.hour_us = inspection.seen_us - ((inspection.seen_us % 3600000000) + 3600000000) % 3600000000
  AND h.local_day = inspection.local_day
"""
_FILL_QUARANTINE = """
UPDATE quarantine SET (shift, shift_day) = (
    SELECT i.shift, i.shift_day FROM inspection i WHERE i.id = coalesce(
        (SELECT b.id FROM inspection b
         WHERE b.station_id = quarantine.station_id
           AND b.inspected_us BETWEEN quarantine.quarantined_us - 43200000000 AND quarantine.quarantined_us
         ORDER BY b.inspected_us DESC, b.id DESC LIMIT 1),
        (SELECT b.id FROM inspection b
         WHERE b.station_id = quarantine.station_id
           AND b.inspected_us BETWEEN quarantine.quarantined_us AND quarantine.quarantined_us + 43200000000
         ORDER BY b.inspected_us, b.id LIMIT 1)
    )
)
"""

_INSPECTION = """
        SELECT i.id, s.name AS station, i.source_name, i.camera, i.part, i.seam, i.pass_no,
               {i.camera_time_us} AS camera_time, {i.seen_us} AS seen_at, {i.inspected_us} AS inspected_at,
               i.local_day, i.shift, i.verdict, i.label, i.confidence, i.probabilities, i.novelty, i.reason,
               r.verdict AS human_verdict, r.label AS human_label, r.reviewer, {r.reviewed_us} AS reviewed_at,
               m.name AS model, m.version AS model_version, i.settings_id,
               i.wait_ms, i.decode_ms, i.infer_ms, i.total_ms, i.batch_size,
               i.sha256, i.duplicate_of, i.archive_path"""
_FROM_INSPECTION = """
        FROM inspection i
        JOIN station s ON s.id = i.station_id
        JOIN model m ON m.id = i.model_id
        LEFT JOIN review r
          ON r.id = (SELECT max(latest.id) FROM review latest WHERE latest.inspection_id = i.id)
        """
_QUARANTINE = """
        SELECT q.id, s.name AS station, q.source_name, q.reason, q.detail,
               {q.quarantined_us} AS quarantined_at, q.path, q.sha256"""
_FROM_QUARANTINE = """
        FROM quarantine q JOIN station s ON s.id = q.station_id
        """
_VIEW_COMMENTS = {
    "v_inspection": "one row for each judged image, with the latest human verdict",
    "v_quarantine": "files that cannot be inspected, and why",
}


def _make_views(inspection: str, quarantine: str) -> None:
    """Replace both views, on PostgreSQL in place: rights and the shop's own views on them remain."""
    views = {"v_inspection": inspection + _FROM_INSPECTION, "v_quarantine": quarantine + _FROM_QUARANTINE}
    for name, query in views.items():
        if _on_sqlite():
            op.execute(f"DROP VIEW IF EXISTS {name}")
            op.execute(f"CREATE VIEW {name} AS {_with_timestamps(query)}")
        else:
            op.execute(f"CREATE OR REPLACE VIEW {name} AS {_with_timestamps(query)}")
            op.execute(f"COMMENT ON VIEW {name} IS '{_VIEW_COMMENTS[name]}'")


def _with_timestamps(query: str) -> str:
    form = (
        r"strftime('%Y-%m-%d %H:%M:%f', \1 / 1000000.0, 'unixepoch')"  # text, UTC, to the millisecond
        if _on_sqlite()
        else r"to_timestamp(\1 / 1000000.0)"
    )
    return re.sub(r"\{([\w.]+)\}", form, query)
