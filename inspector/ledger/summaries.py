"""Summaries of hours that are over, from which reports count millions of images in seconds.

A summary is made of the images that one query has seen, and says how many they were. Images are only ever
added. So if a station still has that many images in that hour, they are the same ones, and the summary is
right. (Of a part of an hour this does not follow: an outdated summary may count as many.) If another image
has come, as after an outage or by a wrong clock, no report uses the summary, and the next run adds a new one.
So it does not matter when summaries are made, which transactions are open, or whether any are made at all:
without them reports only take longer.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import URL

from inspector.ledger import database, statements
from inspector.ledger.schema import STEPS, hour_count, hour_latency, hour_summary, inspection

HOUR_US = 3_600_000_000
SETTLED_AFTER_US = HOUR_US  # images that come later than this are rare; before, most summaries are in vain
_PERCENTS = (50, 95, 99)
# Images with the same values of these are one row of hour_count.
_KEY = (
    *("model_id", "camera", "part", "seam", "pass_no", "local_day", "shift", "shift_day", "verdict"),
    "reason",
)
_INSTANTS = ("inspected_us", "seen_us", "taken_us")
_Image = sa.Row[Any]


def summarize(url: URL | str, now_us: int | None = None) -> int:
    """Summarize the hours that are over and have no summary that holds; return their number.

    It reads an hour of all stations at a time and writes it in one transaction. A run that was killed is
    continued by the next one, and two at once do each other no harm.

    Args:
        url: SQLite or PostgreSQL.
        now_us: the present in UTC epoch microseconds; None for the clock.

    Raises:
        SchemaError: the database lacks the schema.
        StoreRefused: the user may not add rows.
        StoreUnavailable: an outage.
    """
    before_us = (time.time_ns() // 1000 if now_us is None else now_us) - SETTLED_AFTER_US - HOUR_US
    writers = database.engine(url)
    try:
        with database.reading(url) as readers:
            with database.transaction(readers) as connection:
                database.require_schema(connection)
                hours = connection.scalars(_hours_without_summary(before_us)).all()
            for hour_us in hours:
                with database.transaction(readers) as connection:
                    images = connection.execute(_images(hour_us)).all()
                with database.transaction(database.immediate(writers)) as connection:
                    _write(connection, hour_us, images)
    finally:
        writers.dispose()
    return len(hours)


def false_hours(url: URL | str) -> list[int]:
    """Return the starts of the hours with a summary that reports use and that says something wrong.

    Each is made once more. Summaries are as reliable as the accounts that may add them; this is the proof.

    Raises:
        SchemaError: the database lacks the schema.
        StoreUnavailable: an outage.
    """
    with database.reading(url) as readers, database.transaction(readers) as connection:
        database.require_schema(connection)
        both = sa.union(sa.select(hour_summary.c.hour_us), sa.select(hour_latency.c.hour_us))
        hours = sorted(connection.scalars(both))
        return [hour_us for hour_us in hours if _is_false(connection, hour_us)]


# --- an hour ---------------------------------------------------------------------------------------------


def _hours_without_summary(before_us: int) -> sa.Select[Any]:
    """Return a query for the starts of hours, up to ``before_us``, in which a station has more images."""
    i, y = inspection.c, hour_summary.c
    hour = sa.literal_column(str(HOUR_US), sa.BigInteger)
    hour_us = i.inspected_us - (i.inspected_us % hour + hour) % hour  # before 1970, too
    counted = (
        sa.select(i.station_id, hour_us.label("hour_us"), sa.func.count().label("n"))
        .group_by(sa.literal_column("1"), sa.literal_column("2"))
        .cte("counted")
        .c
    )
    holds = sa.exists().where(
        y.station_id == counted.station_id, y.hour_us == counted.hour_us, y.n == counted.n
    )
    hours = sa.select(counted.hour_us).distinct().where(counted.hour_us <= before_us, ~holds)
    return hours.order_by(counted.hour_us)


def _images(hour_us: int) -> sa.Select[Any]:
    names = (*_KEY, "id", "station_id", "duplicate_of", *_INSTANTS, *(f"{step}_ms" for step in STEPS))
    at = inspection.c.inspected_us
    return sa.select(*(inspection.c[name] for name in names)).where(at >= hour_us, at < hour_us + HOUR_US)


def _by_station(images: Sequence[_Image]) -> dict[int, list[_Image]]:
    found = defaultdict(list)
    for image in images:
        found[image.station_id].append(image)
    return found


def _write(connection: sa.Connection, hour_us: int, images: Sequence[_Image]) -> None:
    """Add the rows of an hour, except for a station whose images in it have a summary already."""
    new = statements.insert_new(connection.dialect.name, hour_summary).returning(hour_summary.c.id)
    stations = _by_station(images)
    counts: list[statements.Row] = []
    for station_id, own in stations.items():
        row = {"station_id": station_id, "hour_us": hour_us, "n": len(own)}
        summary_id = connection.scalar(new, row)
        if summary_id is not None:
            counts += ({"summary_id": summary_id} | count for count in _counts(own))
    if counts:
        connection.execute(hour_count.insert(), counts)
    durations = [_durations(0, images), *(_durations(number, own) for number, own in stations.items())]
    rows = [{"hour_us": hour_us} | row for row in durations]
    connection.execute(statements.insert_new(connection.dialect.name, hour_latency), rows)


def _is_false(connection: sa.Connection, hour_us: int) -> bool:
    """Return whether a summary of this hour that holds has other rows than the images give."""
    images = connection.execute(_images(hour_us)).all()
    stations = _by_station(images)
    columns = [column for column in hour_count.c if column.name not in ("id", "summary_id")]
    y = hour_summary.c
    rows = sa.select(y.station_id, y.n.label("of_n"), *columns).where(y.hour_us == hour_us)
    found: dict[tuple[int, int], Counter[Any]] = defaultdict(Counter)
    for row in connection.execute(rows.select_from(sa.outerjoin(hour_summary, hour_count))):
        found[row.station_id, row.of_n][tuple(row)[2:]] += 1
    for station_id, own in stations.items():
        wanted = Counter(tuple(count[column.name] for column in columns) for count in _counts(own))
        if found.get((station_id, len(own)), wanted) != wanted:
            return True
    groups: dict[int, Sequence[_Image]] = {0: images, **stations}
    return any(
        row["n"] == len(group) and row != _durations(row["of_station"], group)
        for row in _stored_durations(connection, hour_us)
        if (group := groups.get(row["of_station"]))
    )


def _stored_durations(connection: sa.Connection, hour_us: int) -> list[statements.Row]:
    columns = [column for column in hour_latency.c if column.name not in ("id", "hour_us")]
    found = connection.execute(sa.select(*columns).where(hour_latency.c.hour_us == hour_us))
    return [dict(row) for row in found.mappings()]


def _counts(images: Sequence[_Image]) -> list[statements.Row]:
    """Return the rows of ``hour_count`` for images of a station in an hour, without ``summary_id``."""
    groups = defaultdict(list)
    for image in images:
        key = (*image[: len(_KEY)], image.duplicate_of is not None, image.seen_us // HOUR_US * HOUR_US)
        groups[key].append(image)
    names = (*_KEY, "is_duplicate", "seen_hour_us")
    return [dict(zip(names, key, strict=True)) | _of_group(group) for key, group in groups.items()]


def _of_group(images: Sequence[_Image]) -> statements.Row:
    inspected_us = [image.inspected_us for image in images]
    taken_us = [image.taken_us for image in images]
    return {
        "n": len(images),
        "first_us": min(inspected_us),
        "last_us": max(inspected_us),
        "first_seen_us": min(image.seen_us for image in images),
        "first_taken_us": min(taken_us),
        "last_taken_us": max(taken_us),
        "newest_id": max(image.id for image in images),
    }


def _durations(of_station: int, images: Sequence[_Image]) -> statements.Row:
    """Return the row of ``hour_latency`` without ``hour_us``: nearest ranks, as in the reports."""
    row: statements.Row = {"of_station": of_station, "n": len(images)}
    for step in STEPS:
        sorted_ms = sorted(getattr(image, f"{step}_ms") for image in images)
        for percent in _PERCENTS:
            row[f"{step}_p{percent}_ms"] = sorted_ms[(len(images) * percent + 99) // 100 - 1]
        row[f"{step}_max_ms"] = sorted_ms[-1]
    return row
