"""Summaries of hours that are over, from which reports count millions of images in seconds.

A summary is made of the images that one query has seen, and says how many they were. Images are only ever
added. So if a station still has that many images in that hour, they are the same ones, and the summary is
right. (Of a part of an hour this does not follow: an outdated summary may count as many.) If another image
has come, as after an outage or by a wrong clock, no report uses the summary, and the next run adds a new one.

To count the images of every hour takes a report longer than all the rest. So a run ends with a seal. It notes
an image up to which all rows are there for good, and the end of the last hour that is over. Each hour before
that end has a summary of at least these images. So if an hour has no image with a higher number, it has
exactly these, and its newest summary, the one of the most images, is right. A report looks for images with a
higher number, and counts only their hours and those after the seal.

Any seal stays true, whatever comes later. So it does not matter when summaries and seals are made, or whether
any are made at all: without them reports only take longer.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import URL

from inspector.errors import StoreUnavailable
from inspector.ledger import changes, database, statements, summary_rows
from inspector.ledger.schema import hour_latency, hour_summary, hour_work, inspection, summary_seal
from inspector.ledger.summary_rows import HOUR_US, KINDS, Images, Kind

SETTLED_AFTER_US = HOUR_US  # images that come later than this are rare; before, most summaries are in vain


def summarize(url: URL | str, now_us: int | None = None) -> int:
    """Summarize the hours that are over and have no summary that holds, and seal all; return their number.

    It reads an hour of all stations at a time and writes it in one transaction. A run that was killed is
    continued by the next one, and two at once do each other no harm.

    Args:
        url: SQLite or PostgreSQL.
        now_us: the present in UTC epoch microseconds; None for the clock.

    Raises:
        SchemaError: the database lacks the schema.
        StoreRefused: the user may not add rows.
        StoreUnavailable: an outage; or a transaction does not end, and there are summaries, but no seal.
    """
    before_us = (time.time_ns() // 1000 if now_us is None else now_us) - SETTLED_AFTER_US - HOUR_US
    writers = database.engine(url)
    last, unsettled = 0, None
    try:
        with database.reading(url) as readers:
            with database.transaction(readers) as connection:
                database.require_schema(connection)
            try:
                last = changes.settled(readers, [inspection])[inspection.name]
            except StoreUnavailable as error:
                unsettled = error
            # Only from here on all images up to the last one are sure to be seen.
            with database.transaction(readers) as connection:
                hours = connection.scalars(_hours_without_summary(before_us)).all()
            for hour_us in hours:
                with database.transaction(readers) as connection:
                    images = connection.execute(_images(hour_us)).all()
                with database.transaction(database.immediate(writers)) as connection:
                    _write(connection, hour_us, images)
            if unsettled is None:
                with database.transaction(database.immediate(writers)) as connection:
                    _seal(connection, last, before_us - before_us % HOUR_US + HOUR_US)
    finally:
        writers.dispose()
    if unsettled is not None:
        raise StoreUnavailable(
            f"{unsettled}; the summaries are made, but not sealed: reports take longer until the next run"
        )
    return len(hours)


def false_hours(url: URL | str) -> list[int]:
    """Return the starts of the hours with a summary that reports use and that says something wrong.

    Every image is read, and each summary is made once more. Summaries are as reliable as the accounts that
    may add them; this is the proof.

    Raises:
        SchemaError: the database lacks the schema.
        StoreUnavailable: an outage.
    """
    with database.reading(url) as readers, database.transaction(readers) as connection:
        database.require_schema(connection)
        seal = connection.execute(_newest_seal()).first()
        every = sa.union(
            *(sa.select(it.c.hour_us) for it in (hour_summary, hour_latency, hour_work)),
            sa.select(_hour_us()),  # of a seal, an hour without any summary is false, too
        )
        hours = sorted(connection.scalars(every))
        return [hour_us for hour_us in hours if _is_false(connection, seal, hour_us)]


# --- an hour ---------------------------------------------------------------------------------------------


def _hour_us() -> sa.ColumnElement[int]:
    """The start of an image's hour."""
    at, hour = inspection.c.inspected_us, sa.literal_column(str(HOUR_US), sa.BigInteger)
    return at - (at % hour + hour) % hour  # before 1970, too


def _hours_without_summary(before_us: int) -> sa.Select[Any]:
    """Return a query for the starts of hours, up to ``before_us``, in which a station has more images."""
    i, y = inspection.c, hour_work.c  # the newest kind: an hour that has it has the others, too
    counted = (  # all, also up to the seal: an image with a number that it has passed is then found at last
        sa.select(i.station_id, _hour_us().label("hour_us"), sa.func.count().label("n"))
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
    columns = (inspection.c[name] for name in summary_rows.COLUMNS)
    at = inspection.c.inspected_us
    return sa.select(*columns).where(at >= hour_us, at < hour_us + HOUR_US)


def _by_station(images: Images) -> dict[int, Images]:
    found = defaultdict(list)
    for image in images:
        found[image.station_id].append(image)
    return dict(found)


def _durations(images: Images) -> list[statements.Row]:
    """Return the rows of ``hour_latency``: of all stations together, and of each."""
    stations = {0: images} | _by_station(images)
    return [summary_rows.durations(number, own) for number, own in stations.items()]


def _write(connection: sa.Connection, hour_us: int, images: Images) -> None:
    """Add the rows of an hour, except for a station whose images in it have a summary already."""
    dialect = connection.dialect.name
    for kind in KINDS:
        new = statements.insert_new(dialect, kind.table).returning(kind.table.c.id)
        rows: dict[sa.Table, list[statements.Row]] = defaultdict(list)
        for station_id, own in _by_station(images).items():
            row = {"station_id": station_id, "hour_us": hour_us, "n": len(own)}
            number = connection.scalar(new, row | kind.measured(hour_us, own))
            if number is not None:
                for table, counted in kind.counted.items():
                    rows[table] += ({kind.reference(table): number} | count for count in counted(own))
        for table, counts in rows.items():
            connection.execute(table.insert(), counts)
    latency = statements.insert_new(dialect, hour_latency)
    connection.execute(latency, [{"hour_us": hour_us} | row for row in _durations(images)])


# --- the seal --------------------------------------------------------------------------------------------


def _seal(connection: sa.Connection, last: int, until_us: int) -> None:
    """Add a seal, unless it is there, or there is no image or no summary yet."""
    newest = connection.scalar(sa.select(sa.func.max(hour_work.c.id)))
    if last and newest:
        row = {"inspection_id": last, "until_us": until_us, "work_id": newest}
        connection.execute(statements.insert_new(connection.dialect.name, summary_seal), row)


def _newest_seal() -> sa.Select[Any]:
    """Return a query for the seal that reports use."""
    c = summary_seal.c
    return sa.select(c.inspection_id, c.until_us).order_by(c.inspection_id.desc(), c.until_us.desc()).limit(1)


# --- the proof -------------------------------------------------------------------------------------------


def _is_false(connection: sa.Connection, seal: sa.Row[Any] | None, hour_us: int) -> bool:
    """Return whether a summary of this hour that reports use has other rows than the images give."""
    # Images last: then those of every summary that was read before are among them.
    latencies, *others = (_stored(connection, it, hour_us) for it in (hour_latency, hour_summary, hour_work))
    images = connection.execute(_images(hour_us)).all()
    if not images:
        return True
    of_station = _by_station(images)
    right = {(row["of_station"], row["n"]): row for row in _durations(images)}
    return (
        _misleads(latencies, "of_station", {0: images} | of_station, seal, hour_us)
        or any(_misleads(rows, "station_id", of_station, seal, hour_us) for rows in others)
        or any(right.get((row["of_station"], row["n"]), row) != row for row in latencies)
        or any(
            _is_false_kind(connection, kind, hour_us, station_id, own)
            for station_id, own in of_station.items()
            for kind in KINDS
        )
    )


def _misleads(
    summaries: list[statements.Row],
    name: str,
    groups: dict[int, Images],
    seal: sa.Row[Any] | None,
    hour_us: int,
) -> bool:
    """Return whether reports would use a summary that counts more or fewer images than there are.

    Args:
        summaries: of an hour.
        name: their column that says of which images they are.
        groups: those images by the value of that column.
        seal: the one that reports use.
        hour_us: start of the hour.
    """
    newest: Counter[int] = Counter()
    for row in summaries:
        newest[row[name]] = max(newest[row[name]], row["n"])
    return any(
        newest[number] > len(images) or (newest[number] < len(images) and _is_sealed(images, seal, hour_us))
        for number in newest.keys() | groups.keys()
        for images in [groups.get(number, [])]
    )


def _is_sealed(images: Images, seal: sa.Row[Any] | None, hour_us: int) -> bool:
    """Return whether a report takes the newest summary of these images of an hour without counting them."""
    if seal is None or hour_us >= seal.until_us:
        return False
    return all(image.id <= seal.inspection_id for image in images)


def _is_false_kind(
    connection: sa.Connection, kind: Kind, hour_us: int, station_id: int, images: Images
) -> bool:
    """Return whether this kind of summary of a station's hour holds, and differs from these images."""
    key = {"station_id": station_id, "n": len(images)}
    right = key | kind.measured(hour_us, images)
    summaries = [row for row in _stored(connection, kind.table, hour_us) if key.items() <= row.items()]
    if any({name: row[name] for name in right} != right for row in summaries):
        return True
    t = kind.table.c
    holds = (t.hour_us == hour_us, t.station_id == station_id, t.n == len(images))
    for table, counted in kind.counted.items():
        names = kind.names(table)
        columns = [table.c[name] for name in names]
        stored = connection.execute(sa.select(*columns).join_from(table, kind.table).where(*holds))
        expected = [tuple(row[name] for name in names) for row in counted(images)] if summaries else []
        if Counter(map(tuple, stored)) != Counter(expected):
            return True
    return False


def _stored(connection: sa.Connection, table: sa.Table, hour_us: int) -> list[statements.Row]:
    columns = [column for column in table.c if column.name not in ("id", "hour_us")]
    found = connection.execute(sa.select(*columns).where(table.c.hour_us == hour_us))
    return [dict(row) for row in found.mappings()]
