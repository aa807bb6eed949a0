"""The present faults of the station, each with the line that a person needs first."""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import sqlalchemy as sa
from sqlalchemy.engine import URL

from inspector.errors import ArchiveUnavailable, StationError, StoreUnavailable, Unavailable
from inspector.ledger import database, schema
from inspector.monitoring.progress import Progress

FAULTS: Final = ("database", "stuck", "drop_folder", "disk", "results")
_MAX_STANDSTILL_S = 6.0  # a task takes less than a second; a fault must show within 10 s
_PROBE_INTERVAL_S = 2.0  # between two questions to the database
_MAX_SILENCE_S = 6.0  # a server that has not answered for so long counts as hanging


class DatabaseProbe:
    """Asks the database every 2 s, in its own thread, so that a hanging one does not hang the health page.

    Args:
        url: the database.
        monotonic: seconds.
        also: further questions, asked in the same transaction.
    """

    def __init__(
        self,
        url: URL,
        monotonic: Callable[[], float] = time.monotonic,
        also: Callable[[sa.Connection], None] | None = None,
    ) -> None:
        self._also = also
        self._engine = database.engine(url, read_only=True)
        self._monotonic = monotonic
        self._answered = monotonic()
        self._error: str | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._poll, name="database-probe", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join(1)  # a thread that hangs is left behind, as a daemon thread
        self._engine.dispose()

    def fault(self) -> str | None:
        """Return what is wrong with the database, or None."""
        silent_s = self._monotonic() - self._answered
        if self._error is None and silent_s > _MAX_SILENCE_S:
            return f"has not answered for {silent_s:.0f} s"
        return self._error

    def _poll(self) -> None:
        while not self._ended.is_set():
            try:
                with database.transaction(self._engine) as connection:
                    connection.execute(sa.select(schema.station.c.id).limit(1)).all()
                    if self._also:
                        self._also(connection)
                self._error = None
            except StationError as error:
                self._error = str(error)
            except sa.exc.SQLAlchemyError as error:
                self._error = type(error).__name__
            self._answered = self._monotonic()
            self._ended.wait(_PROBE_INTERVAL_S)


class Health:
    """The faults of the station, by name; safe for any thread.

    Args:
        probe: asks the database.
        outage: returns the outage that the daemon waits out, or None.
        progress: the daemon's heartbeats.
        drop_folder: the settings' drop folder.
        drop_device: returns the device of the folder that the intake accepted last; None before its first
            look. A remount may change the number, and only the intake judges whether it is the right one.
        archive_folder: images fill the free space of its file system.
        min_free_bytes: less free space is a fault.
        results: returns what is wrong with the results folder, or None.
    """

    def __init__(
        self,
        *,
        probe: DatabaseProbe,
        outage: Callable[[], Unavailable | None],
        progress: Progress,
        drop_folder: Path,
        drop_device: Callable[[], int | None],
        archive_folder: Path,
        min_free_bytes: float,
        results: Callable[[], str | None] = lambda: None,
    ) -> None:
        self._probe = probe
        self._outage = outage
        self._progress = progress
        self._drop = drop_folder
        self._drop_device = drop_device
        self._archive = archive_folder
        self._min_free_bytes = min_free_bytes
        self._results = results

    def faults(self) -> dict[str, str]:
        """Return a line for each present fault, out of :data:`FAULTS`; empty if there is none."""
        found = {
            "database": self._database(),
            "stuck": self._stuck(),
            "drop_folder": self._drop_folder(),
            "disk": self._disk(),
            "results": self._results(),
        }
        return {name: line for name, line in found.items() if line is not None}

    def free_bytes(self) -> float:
        """Return the free space of the archive's file system for this user; NaN if it is not known."""
        with contextlib.suppress(OSError):
            return float(shutil.disk_usage(self._archive).free)
        return float("nan")

    def _database(self) -> str | None:
        outage = self._outage()
        return self._probe.fault() or (str(outage) if isinstance(outage, StoreUnavailable) else None)

    def _stuck(self) -> str | None:
        standstill_s = self._progress.standstill_s()
        return f"no progress for {standstill_s:.0f} s" if standstill_s > _MAX_STANDSTILL_S else None

    def _drop_folder(self) -> str | None:
        try:
            device = self._drop.stat().st_dev
        except OSError as error:
            return f"{self._drop}: {error.strerror}"
        if self._drop_device() not in (None, device):  # most likely it is the empty mount point
            return f"{self._drop}: is now on another device; mount the right one"
        if not os.access(self._drop, os.R_OK | os.W_OK | os.X_OK):
            return f"{self._drop}: this user may no longer read and move files"
        return None

    def _disk(self) -> str | None:
        outage, free = self._outage(), self.free_bytes()
        if isinstance(outage, ArchiveUnavailable):
            return str(outage)
        if free < self._min_free_bytes:
            return f"{free / 2**30:.1f} GiB left for {self._archive}; prune, or give it more room"
        return None
