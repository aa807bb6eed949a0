"""How far a station's rows have been forwarded to a central database, and what still waits.

The rows themselves are the queue: they stay in the station's database in any case, so an outage of weeks
takes no space on the disk of its own, and no row ever expires. A position is kept for each table. It is the
number of a row with its time, because a database that was restored or replaced uses its numbers again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from inspector.ledger import schema

Positions = dict[str, list[int]]  # table name → number and time of the last row that was forwarded

# The tables that are forwarded, and the time of their rows. A table comes after those that it refers to.
# Summaries are derived, so the central database makes its own; models and settings come with their first row.
INSTANTS: dict[sa.Table, str] = {
    schema.event: "at_us",
    schema.quarantine: "quarantined_us",
    schema.inspection: "inspected_us",
    schema.arrival: "recorded_us",
    schema.review: "reviewed_us",
    schema.seam_review: "reviewed_us",
    schema.rejudgement: "judged_us",
    schema.audit_sample: "drawn_us",
    schema.signal_note: "noted_us",
}


@dataclass(frozen=True, slots=True)
class Latest:
    """The latest row of ``forwarded`` of a station; before the first one all are empty."""

    positions: Positions = field(default_factory=dict)
    returned: dict[str, int] = field(default_factory=dict)
    sent: int = 0
    behind: int = 0
    at_us: int = 0


def latest(connection: sa.Connection, station_id: int) -> Latest:
    """Return how far a station is, as this database knows it."""
    f = schema.forwarded.c
    columns = (f.positions, f.returned, f.sent, f.behind, f.at_us)
    of_station = sa.select(*columns).where(f.station_id == station_id)
    row = connection.execute(of_station.order_by(f.id.desc()).limit(1)).mappings().first()
    return Latest(**row) if row else Latest()


def note(connection: sa.Connection, station_id: int, latest: Latest) -> None:
    """Add a row that says how far a station is."""
    row = {name: getattr(latest, name) for name in Latest.__slots__}
    connection.execute(schema.forwarded.insert(), row | {"station_id": station_id})


def waiting(connection: sa.Connection, station_id: int, positions: Positions) -> tuple[int, int | None]:
    """Return how many rows of a station wait in its own database, and the time of the oldest one or None.

    In a database of one station the numbers of the rows tell how many there are. It takes no time then,
    however many wait.
    """
    is_alone = connection.scalar(sa.select(sa.func.count()).select_from(schema.station)) == 1
    rows, oldest_us = 0, None
    for table, instant in INSTANTS.items():
        left = after(table, station_id, positions)
        by_number = left.with_only_columns(table.c.id, table.c[instant].label("us"))
        first = connection.execute(by_number.order_by(table.c.id).limit(1)).first()
        if first is None:
            continue
        oldest_us = min(first.us, first.us if oldest_us is None else oldest_us)
        if is_alone:
            newest = connection.scalar(sa.select(sa.func.max(table.c.id)))
            rows += newest - first.id + 1
        else:
            rows += connection.scalar(left.with_only_columns(sa.func.count(table.c.id))) or 0
    return rows, oldest_us


def after(table: sa.Table, station_id: int, positions: Positions) -> sa.Select[Any]:
    """Return a query for a station's rows of a table after its position, in no order.

    Adding 0 keeps both planners from an index of the station, whose rows would have to be sorted each time.
    """
    number, _ = positions.get(table.name, (0, 0))
    query = sa.select(table).where(table.c.id > number)
    if "station_id" in table.c:
        return query.where(table.c.station_id + 0 == station_id)
    if "inspection_id" in table.c:
        i = schema.inspection
        return query.join(i, i.c.id == table.c.inspection_id).where(i.c.station_id + 0 == station_id)
    return query  # a note on a signal belongs to no station
