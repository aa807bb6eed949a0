"""Whether the station does its work, and if not, what a person should look at first."""

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
_MAX_STANDSTILL_S = 6.0  # work takes less than a second; a fault shall show within 10 s
_PROBE_INTERVAL_S = 2.0  # between two questions to the database
_MAX_SILENCE_S = 6.0  # a server that hangs says nothing: so long without an answer is an answer


class DatabaseProbe:
    """Asks the database every 2 s, in a thread of its own: one that hangs must not hang the health page."""

    def __init__(self, url: URL, monotonic: Callable[[], float] = time.monotonic) -> None:
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
        self._thread.join(1)  # one that hangs in the server is left behind: it is a daemon thread
        self._engine.dispose()

    def fault(self) -> str | None:
        """What is wrong with the database, or None."""
        silent_s = self._monotonic() - self._answered
        if self._error is None and silent_s > _MAX_SILENCE_S:
            return f"has not answered for {silent_s:.0f} s"
        return self._error

    def _poll(self) -> None:
        while not self._ended.is_set():
            try:
                with database.transaction(self._engine) as connection:
                    connection.execute(sa.select(schema.station.c.id).limit(1)).all()
                self._error = None
            except StationError as error:
                self._error = str(error)
            except sa.exc.SQLAlchemyError as error:
                self._error = type(error).__name__
            self._answered = self._monotonic()
            self._ended.wait(_PROBE_INTERVAL_S)


class Health:
    """What is wrong now, by name; safe to ask from any thread.

    Args:
        probe: asks the database.
        outage: what the daemon waits for, if anything.
        progress: the daemon's.
        drop_folder: as the settings name it.
        archive_folder: its file system's free space is what images fill.
        min_free_bytes: less than this is a fault.
        results: what is wrong with the results folder, if anything.
    """

    def __init__(
        self,
        *,
        probe: DatabaseProbe,
        outage: Callable[[], Unavailable | None],
        progress: Progress,
        drop_folder: Path,
        archive_folder: Path,
        min_free_bytes: float,
        results: Callable[[], str | None] = lambda: None,
    ) -> None:
        self._probe = probe
        self._outage = outage
        self._progress = progress
        self._drop = drop_folder
        self._device = drop_folder.stat().st_dev
        self._archive = archive_folder
        self._min_free_bytes = min_free_bytes
        self._results = results

    def faults(self) -> dict[str, str]:
        """A line for each fault, out of :data:`FAULTS`; empty where all is well."""
        found = {
            "database": self._database(),
            "stuck": self._stuck(),
            "drop_folder": self._drop_folder(),
            "disk": self._disk(),
            "results": self._results(),
        }
        return {name: line for name, line in found.items() if line is not None}

    def free_bytes(self) -> float:
        """What the archive's file system has left for this user; not a number where it does not tell."""
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
        if device != self._device:  # most likely the empty mount point below it
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
