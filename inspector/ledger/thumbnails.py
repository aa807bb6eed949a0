"""Small pictures at a central database of images whose files stay at their stations.

A console asks for one when a person opens the image. The forwarder of the station makes it, so only stations
that forward their rows are asked.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import URL

from inspector.ledger import database, statements
from inspector.ledger.schema import forwarded, inspection, thumbnail, thumbnail_request


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """The answer of a station: a JPEG, or the reason why there is none."""

    picture: bytes | None
    reason: str | None


def find(url: URL, number: int) -> Thumbnail | None:
    """Return the station's answer for an inspection; None if there is none yet.

    Raises:
        StoreUnavailable: an outage.
    """
    t = thumbnail.c
    query = sa.select(t.picture, t.reason).where(t.inspection_id == number)
    with database.reading(url) as engine, database.transaction(engine) as connection:
        row = connection.execute(query).first()
    return None if row is None else Thumbnail(row.picture, row.reason)


def ask(url: URL, number: int, person: str) -> bool:
    """Ask the station of an inspection for its picture; return False if the station forwards nothing.

    A second request for the same image adds nothing.

    Raises:
        StoreRefused: the account may not add requests.
        StoreUnavailable: an outage.
    """
    of_image = sa.select(inspection.c.station_id).where(inspection.c.id == number).scalar_subquery()
    forwards = sa.select(sa.exists().where(forwarded.c.station_id == of_image))
    row = {"inspection_id": number, "person": person, "asked_us": time.time_ns() // 1000}
    engine = database.immediate(database.engine(url))
    try:
        with database.transaction(engine) as connection:
            if not connection.scalar(forwards):
                return False
            connection.execute(statements.insert_new(connection.dialect.name, thumbnail_request), row)
            return True
    finally:
        engine.dispose()
