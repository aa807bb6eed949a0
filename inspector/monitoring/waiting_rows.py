"""Rows that wait for the forwarder, by the station's own database: the centre and its network may be away."""

from __future__ import annotations

import time
from typing import Final

import sqlalchemy as sa

from inspector.ledger import forwarded, schema

ROWS_GAUGE: Final = "weldnet_forward_waiting_rows", "Rows that are still to be forwarded", "to"
SECONDS_GAUGE: Final = (
    "weldnet_forward_waiting_seconds",
    "Since the oldest row that is still to be forwarded was made; 0 if none waits",
    "to",
)


class WaitingRows:
    """What waits, as of the last look.

    Args:
        station: name of the station.
    """

    def __init__(self, station: str) -> None:
        self._station = station
        self._waiting: tuple[int, int | None] = (0, None)

    def look(self, connection: sa.Connection) -> None:
        """Count the rows that wait; it takes about a millisecond."""
        number = sa.select(schema.station.c.id).where(schema.station.c.name == self._station)
        if (station_id := connection.scalar(number)) is not None:
            positions = forwarded.latest(connection, station_id).positions
            self._waiting = forwarded.waiting(connection, station_id, positions)

    def rows(self) -> float:
        """Return how many rows wait."""
        return self._waiting[0]

    def seconds(self) -> float:
        """Return for how long the oldest one has waited; 0 if none waits."""
        oldest_us = self._waiting[1]
        return 0.0 if oldest_us is None else max(0.0, time.time() - oldest_us / 1e6)
