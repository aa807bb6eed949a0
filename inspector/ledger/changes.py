"""Verdicts of people that changed the final verdict on an image, in the order of their numbers.

On PostgreSQL a verdict can appear after one with a higher number, if two people write at the same time. So a
reader that remembers how far it has read may go on to a number only if no transaction that began before can
still add a lower one: see :func:`are_being_written`.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from inspector.ledger.final import final_verdict
from inspector.ledger.schema import arrival, inspection, review
from inspector.ledger.schema import station as stations
from inspector.records import Verdict

# pg_locks shows this moment in any transaction. Tables of other databases may have the same number.
_WRITERS = """
    SELECT EXISTS (
        SELECT 1 FROM pg_locks
        WHERE relation = to_regclass('review') AND mode = 'RowExclusiveLock'
          AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    )
"""


def newest(connection: sa.Connection) -> tuple[int, int]:
    """Return number and time (UTC epoch microseconds) of the newest verdict; 0 and 0 if there is none."""
    query = sa.select(review.c.id, review.c.reviewed_us).order_by(review.c.id.desc()).limit(1)
    row = connection.execute(query).first()
    return (row.id, row.reviewed_us) if row else (0, 0)


def time_of(connection: sa.Connection, number: int) -> int | None:
    """Return the time of the verdict with this number, UTC epoch microseconds; None if there is none."""
    found: int | None = connection.scalar(sa.select(review.c.reviewed_us).where(review.c.id == number))
    return found


def are_being_written(connection: sa.Connection) -> bool:
    """Return whether a transaction is open that has added verdicts, or may add some.

    If not, all verdicts up to the :func:`newest` one of an earlier transaction are there for the next one.
    SQLite has one writer at a time, so its verdicts appear in the order of their numbers.
    """
    return connection.dialect.name == "postgresql" and bool(connection.scalar(sa.text(_WRITERS)))


def next_rows(after: int, station: str, limit: int, *, since_us: int) -> sa.Select[Any]:
    """Build the query for the next verdicts on a station's images that changed the final verdict.

    The rows have the columns of the image's first arrival, with the final verdict and its class in place of
    the station's, and the columns ``review``, ``reviewer``, ``reviewed_us`` and ``old_verdict``.

    Args:
        after: the verdict that was read last.
        station: name of the station.
        limit: largest number of rows.
        since_us: only verdicts from this instant on, UTC epoch microseconds.
    """
    c, r = inspection.c, review.c
    old, is_undecided = final_verdict(before=r.id), r.verdict == Verdict.REVIEW.value
    new, label = (
        sa.case((is_undecided, c[name]), else_=r[name]).label(name) for name in ("verdict", "label")
    )
    of_image = (arrival.c[name] == c[name] for name in ("station_id", "source_name", "sha256"))  # an index
    first = sa.select(sa.func.min(arrival.c.id)).where(*of_image, arrival.c.inspection_id == c.id)
    return (
        sa.select(
            first.correlate(inspection).scalar_subquery().label("id"),
            *(c.source_name, c.sha256, c.camera, c.part, c.seam, c.pass_no, c.camera_time_us, c.seen_us),
            c.inspected_us.label("recorded_us"),
            *(c.id.label("inspection_id"), c.archive_path.label("path")),
            *(new, label, r.note.label("detail")),
            *(r.id.label("review"), r.reviewer, r.reviewed_us, old.label("old_verdict")),
        )
        .select_from(review)
        .join(inspection, c.id == r.inspection_id)
        .join(stations, stations.c.id == c.station_id)
        .where(
            r.id > after,
            r.reviewed_us >= since_us,
            new != old,
            stations.c.name == station,
        )
        .order_by(r.id)
        .limit(limit)
    )
