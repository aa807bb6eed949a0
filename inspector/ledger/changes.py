"""New rows in the order of their numbers, among them verdicts that changed the final verdict on an image.

On PostgreSQL a row can appear after one with a higher number, if two programs write at the same time. So a
reader that remembers how far it has read may go on to a number only if no transaction that began before can
still add a lower one: see :func:`writers`. SQLite has one writer at a time, so rows appear in their order.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from inspector.errors import StoreUnavailable
from inspector.ledger import database
from inspector.ledger.final import final_verdict
from inspector.ledger.schema import arrival, inspection, quarantine, review
from inspector.ledger.schema import station as stations
from inspector.records import Verdict

_MAX_SETTLE_S = 30  # as long as a batch may take; a transaction that is open for longer is an outage
_POLL_S = 0.02  # a batch takes milliseconds
FORWARDER_LOCK = 0x57454C46  # "WELF": the first half of the lock of a forwarder's turn; see forwarding.centre
# pg_locks shows this moment in any transaction. Tables of other databases may have the same number.
_WRITERS = sa.text("""
    SELECT virtualtransaction FROM pg_locks
    WHERE (relation IN (SELECT to_regclass(name) FROM unnest(CAST(:names AS text[])) name)
           AND mode = 'RowExclusiveLock'
        OR :with_forwarders AND locktype = 'advisory'
           AND CAST(classid AS bigint) = :forwarder AND objsubid = 2)
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
""")


def writers(connection: sa.Connection, tables: Sequence[sa.Table]) -> set[str]:
    """Return the open transactions that have added rows to one of the tables, or may add some.

    A transaction takes its lock before it takes a number. So without writers all rows up to the newest one of
    an earlier query are there for the next query. Forwarders of schema revision 0013 and before took numbers
    of images and quarantined files first. So every forwarder counts as a writer of these during its turn.
    """
    if connection.dialect.name != "postgresql":
        return set()
    values = {
        "names": [table.name for table in tables],
        "with_forwarders": inspection in tables or quarantine in tables,
        "forwarder": FORWARDER_LOCK,
    }
    return set(connection.scalars(_WRITERS, values))


def settled(engine: sa.Engine, tables: Sequence[sa.Table]) -> dict[str, int]:
    """Return the number of each table's newest row, when all rows before it are there for the next query.

    Raises:
        StoreUnavailable: an outage, or a transaction that does not end.
    """
    numbers = [sa.select(sa.func.max(table.c.id)).scalar_subquery().label(table.name) for table in tables]
    with database.transaction(engine) as connection:
        newest = {
            name: number or 0
            for name, number in connection.execute(sa.select(*numbers)).mappings().one().items()
        }
        left = writers(connection, tables)
    until = time.monotonic() + _MAX_SETTLE_S
    while left:
        if time.monotonic() > until:
            raise StoreUnavailable(
                f"{database.display(engine.url)}: a transaction that adds rows has not ended for "
                f"{_MAX_SETTLE_S} s; end it (pg_stat_activity)"
            )
        time.sleep(_POLL_S)
        with database.transaction(engine) as connection:
            left &= writers(connection, tables)
    return newest


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
    """Return whether a transaction is open that has added verdicts, or may add some; see :func:`writers`."""
    return bool(writers(connection, [review]))


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
