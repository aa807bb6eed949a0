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
    "quarantine.shift": "the settings'' name of the shift; null if an earlier version wrote it",
}


def upgrade() -> None:
    text = "TEXT" if _on_sqlite() else 'TEXT COLLATE "C"'
    op.execute(f"ALTER TABLE quarantine ADD COLUMN shift {text}")
    for table in _TABLES:
        op.execute(
            f"ALTER TABLE {table} ADD COLUMN shift_day {text}"
            f" CONSTRAINT ck_{table}_shift_day CHECK (length(shift_day) = 10)"
        )
    if not _on_sqlite():
        for column, comment in _COMMENTS.items():
            op.execute(f"COMMENT ON COLUMN {column} IS '{comment}'")
    _allow_updates()
    op.execute(_SHIFT_HOURS.replace("{day_before}", _day_before()))
    op.execute("CREATE INDEX shift_hour_key ON shift_hour (station_id, shift, hour_us, local_day)")
    op.execute(_FILL_INSPECTION)
    op.execute("DROP TABLE shift_hour")
    op.execute(_FILL_QUARANTINE)
    _refuse_updates()
    _make_views(_INSPECTION + ", i.shift_day", _QUARANTINE + ", q.shift, q.shift_day")


def downgrade() -> None:
    for view in ("v_inspection", "v_quarantine"):
        op.execute(f"DROP VIEW {view}")
    for table in _TABLES:
        op.execute(f"ALTER TABLE {table} DROP COLUMN shift_day")
    op.execute("ALTER TABLE quarantine DROP COLUMN shift")
    _make_views(_INSPECTION, _QUARANTINE)


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
