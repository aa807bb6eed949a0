"""How far the writing of results has got, in a file of the station's own.

The ledger is the queue, and numbers of rows are places in it. A database that was replaced or restored uses
the numbers again, so each place is kept with its time.
"""

from __future__ import annotations

import json
import logging
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import sqlalchemy as sa

from inspector.ledger import changes
from inspector.ledger.schema import arrival
from inspector.ledger.schema import station as stations
from inspector.station.whole_files import flush_names, write_file

log = logging.getLogger("weldnet")


@dataclass(frozen=True, slots=True)
class Position:
    """Where writing goes on. Before the first result, that is after the rows of the first start."""

    folder: str
    database: str  # without a password
    since_us: int  # UTC epoch microseconds; used only while ``after`` is 0; 0 for any time
    after: int = 0  # the arrival whose result was written last, or the last one before the first start
    is_mount: bool | None = None  # whether the folder was a mount point then
    recorded_us: int = 0  # when that arrival was recorded; 0 in a position of an older version
    opened_us: int = 0  # when the station first opened the ledger; 0 if ``after`` says which ledger it is
    reviewed: int | None = None  # no verdict up to this one is left; None in a position of an older version
    reviewed_us: int = 0  # when that verdict was given; if ``reviewed`` is 0, only verdicts from then on

    @classmethod
    def stored(cls, file: Path) -> Position | None:
        """Return the position in a file; None if there is none, or if it cannot be read."""
        try:
            return cls(**json.loads(file.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError) as error:
            log.warning("%s cannot be read, results are written from now on: %s", file, error)
            return None

    def save(self, file: Path) -> None:
        """Write the position, so that it is on the disk.

        Raises:
            OSError: it cannot be written.
        """
        write_file(file, json.dumps(asdict(self)).encode(), file.with_name(f"{file.name}.new"))
        flush_names(file.parent)

    def at_first_start(self, connection: sa.Connection, station: str) -> Position:
        """Return the position behind the rows that are there.

        The clock cannot tell old rows from new ones: it may be ahead, and be corrected a minute later.
        """
        of_station = sa.select(stations.c.id, stations.c.first_opened_us).where(stations.c.name == station)
        known = connection.execute(of_station).first()
        newest = (
            known
            and connection.execute(
                sa.select(arrival.c.id, arrival.c.recorded_us)
                .where(arrival.c.station_id == known.id)
                .order_by(arrival.c.id.desc())
                .limit(1)
            ).first()
        )
        reviewed, reviewed_us = changes.newest(connection)
        begun = replace(self, reviewed=reviewed, reviewed_us=reviewed_us)
        if newest:
            return replace(begun, after=newest.id, recorded_us=newest.recorded_us)
        return replace(begun, since_us=0, opened_us=known.first_opened_us if known else 0)

    def is_of_another_ledger(self, connection: sa.Connection, station: str) -> bool:
        """Return whether the arrival of the position is not there: the database was replaced or restored.

        Arrivals are never removed. After a restore their numbers are used again, at any moment and without an
        outage that a connection would notice, so the time is compared as well.
        """
        if not self.after:
            first = sa.select(stations.c.first_opened_us).where(stations.c.name == station)
            return self.opened_us not in (0, connection.scalar(first))
        recorded_us = connection.scalar(sa.select(arrival.c.recorded_us).where(arrival.c.id == self.after))
        return recorded_us is None or self.recorded_us not in (0, recorded_us)

    def has_lost_verdicts(self, connection: sa.Connection) -> bool:
        """Return whether the verdict of the position is not there, although none is ever removed."""
        return bool(self.reviewed) and changes.time_of(connection, self.reviewed or 0) != self.reviewed_us

    def again(self, started_us: int) -> Position:
        """Return the position for rows that were recorded after the last result, with any number.

        If the clock was ahead at the last result, go on from now. Without a last result, go on from the
        start of this run, not from now: its first rows may have come before the ledger was recognized.
        """
        since_us = self._behind(self.recorded_us) or self.since_us or started_us
        begun = replace(self, after=0, recorded_us=0, opened_us=0, since_us=since_us)
        return begun.again_for_verdicts(started_us)

    def again_for_verdicts(self, started_us: int) -> Position:
        """Return the position for verdicts that people gave after the last one, with any number."""
        reviewed_us = self._behind(self.reviewed_us if self.reviewed else 0) or started_us
        return replace(self, reviewed=0, reviewed_us=reviewed_us)

    @staticmethod
    def _behind(instant_us: int) -> int:
        return min(instant_us + 1, time.time_ns() // 1000) if instant_us else 0
