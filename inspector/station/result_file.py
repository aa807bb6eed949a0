"""One result for a PLC or a manufacturing execution system; see docs/reference/result-files.md.

A result is about a file that left the drop folder, or about a person's verdict that changed the final one.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import asdict
from datetime import tzinfo
from pathlib import PurePosixPath
from typing import Any, Final

import sqlalchemy as sa

from inspector.file_names import MAX_NAME_BYTES, shorten
from inspector.ledger.schema import arrival, inspection, quarantine
from inspector.ledger.schema import station as stations
from inspector.records import Json, NameParts, Outcome
from inspector.times import iso

SCHEMA: Final = 2
REVIEWED: Final = "reviewed"  # the outcome in the result of a person's verdict; no outcome of an arrival
_FORBIDDEN_ON_WINDOWS = re.compile(r'[<>:"/\\|?*]')  # what Windows refuses in a file name
_REPORTED_OUTCOMES = (Outcome.INSPECTED, Outcome.DUPLICATE, Outcome.QUARANTINED)


def next_rows(after: int, station: str, limit: int, *, since_us: int | None) -> sa.Select[Any]:
    """Build the query for a station's next results, in the order of their rows.

    Args:
        after: the arrival whose result was written last.
        station: name of the station.
        limit: largest number of rows.
        since_us: only rows recorded from this instant on, UTC epoch microseconds; None for all.
    """
    of_inspection = ("camera", "part", "seam", "pass_no", "verdict", "label", "confidence", "camera_time_us")
    query = (
        sa.select(
            arrival,
            *(inspection.c[name] for name in of_inspection),
            sa.func.coalesce(inspection.c.reason, quarantine.c.reason).label("reason"),
            quarantine.c.detail,
        )
        .join(stations, stations.c.id == arrival.c.station_id)
        .outerjoin(inspection, inspection.c.id == arrival.c.inspection_id)
        .outerjoin(quarantine, quarantine.c.id == arrival.c.quarantine_id)
        .where(stations.c.name == station, arrival.c.id > after, arrival.c.outcome.in_(_REPORTED_OUTCOMES))
        .order_by(arrival.c.id)
        .limit(limit)
    )
    return query if since_us is None else query.where(arrival.c.recorded_us >= since_us)


def content(
    row: sa.RowMapping, station: str, zone: tzinfo, describe: Callable[[str, int], NameParts]
) -> Json:
    """Return the fields of one result.

    Args:
        row: of :func:`next_rows`, an arrival with its inspection or quarantine row; or of
            :func:`inspector.ledger.changes.next_rows`, a verdict of a person.
        station: the settings' station.
        zone: time zone of the times.
        describe: returns camera, part, seam and time by a name and when it was seen, for files
            without an inspection.
    """
    parts: Any = (
        row if row["inspection_id"] is not None else asdict(describe(row["source_name"], row["seen_us"]))
    )
    times = {"camera_time": parts["camera_time_us"], "seen": row["seen_us"], "recorded": row["recorded_us"]}
    reviewed_us, detail = row.get("reviewed_us"), row["detail"]
    return {
        "schema": SCHEMA,
        "arrival": row["id"],
        "outcome": row.get("outcome", REVIEWED),
        "station": station,
        "name": row["source_name"],
        "sha256": row["sha256"],
        **{key: parts[key] for key in ("camera", "part", "seam")},
        "pass_no": row["pass_no"],
        "verdict": row["verdict"],
        "class": row["label"],
        "confidence": row.get("confidence"),
        "reason": row.get("reason"),
        "detail": detail and " ".join(detail.split()),
        **{key: None if us is None else iso(us, zone) for key, us in times.items()},
        "inspection": row["inspection_id"],
        "quarantine": row.get("quarantine_id"),
        "path": row["path"],
        "review": row.get("review"),
        "reviewer": row.get("reviewer"),
        "reviewed": None if reviewed_us is None else iso(reviewed_us, zone),
        "old_verdict": row.get("old_verdict"),
    }


def name(row: sa.RowMapping) -> str:
    """Return the archive's ``<stem>.<first 8 of sha256>`` with the row's number, which makes it unique.

    That is the number of the arrival, or ``review-`` and the number of a person's verdict.
    """
    review = row.get("review")
    ending = f".{row['id']}.json" if review is None else f".review-{review}.json"
    stem = _FORBIDDEN_ON_WINDOWS.sub("_", PurePosixPath(row["path"]).stem)
    return shorten(stem, MAX_NAME_BYTES - len(ending)) + ending
