"""Each image's result as a file of its own, for a PLC or a manufacturing execution system to pick up.

The ledger is the queue. The next result is that of the next arrival after a position, which is kept on disk.
So nothing is held in memory, and a folder that is full, absent or hanging costs no result and no time of
inspection. A result is written under a hidden name, flushed and renamed, and its folder is flushed. Only then
the position moves on. After a crash or a power cut a few results are written again, under the same names with
the same content. None is left out or incomplete.
"""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import tzinfo
from pathlib import Path
from types import TracebackType
from typing import Self

import sqlalchemy as sa
from sqlalchemy.engine import URL

from inspector.errors import StationError
from inspector.ledger import database
from inspector.ledger.schema import arrival
from inspector.ledger.schema import station as stations
from inspector.records import NameParts
from inspector.station import result_file
from inspector.station.events import Events

log = logging.getLogger("weldnet")

_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
_RESULTS_PER_READ = 100  # then the position is saved: at most so many are written again after a crash
_RETRY_S = 5.0  # a folder that failed is tried again this often
_MAX_SILENCE_S = 10.0  # a network folder that has not answered for so long counts as hanging
_NO_FLUSH_ERRNOS = (errno.EINVAL, errno.ENOTSUP, errno.EBADF)  # a share that can flush no folder
_MAX_STOP_S = 5.0  # at the end, for the results that are left; others are written after the next start


@dataclass(frozen=True, slots=True)
class _Position:
    """Where writing goes on. Before the first result, that is after the rows of the first start."""

    folder: str
    database: str  # without a password
    since_us: int  # UTC epoch microseconds; used only while ``after`` is 0; 0 for any time
    after: int = 0  # the arrival whose result was written last, or the last one before the first start
    is_mount: bool | None = None  # whether the folder was a mount point then
    recorded_us: int = 0  # when that arrival was recorded; 0 in a position of an older version
    opened_us: int = 0  # when the station first opened the ledger; 0 if ``after`` says which ledger it is


@dataclass(frozen=True, slots=True)
class _Failure:
    """A folder that takes no results."""

    since: float  # monotonic seconds
    text: str


class Results:
    """Writer of result files, in a thread of its own; results that are left follow after the next start.

    Args:
        folder: for the results; never created, since it may be a mount point.
        position: a file of the station's own, which keeps how far writing has got.
        url: the quality database.
        station: name of the station.
        zone: returns the time zone of the times in the results, which a reload may change.
        describe: returns camera, part, seam and time by a name and when it was seen, for files without
            an inspection.
        events: where a failure of the folder and its end are reported.
        woken: set after each commit.
    """

    def __init__(
        self,
        folder: Path,
        position: Path,
        url: URL,
        station: str,
        *,
        zone: Callable[[], tzinfo],
        describe: Callable[[str, int], NameParts],
        events: Events,
        woken: threading.Event,
    ) -> None:
        self._folder = folder
        self._position_file = position
        self._url = url
        self._station = station
        self._zone = zone
        self._describe = describe
        self._events = events
        self._woken = woken
        self._ending = threading.Event()
        self._failure: _Failure | None = None
        self._busy_since: float | None = None
        stored = self._stored_position()
        self._is_first_start = stored is None
        self._position = stored or self._fresh_position()
        self._engine: sa.Engine | None = None
        self._thread = threading.Thread(target=self._run, name="results", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.set()
        self._woken.set()
        self._thread.join(_MAX_STOP_S)  # a thread that hangs in a share is left behind, as a daemon thread
        if self._thread.is_alive() or self._failure:
            log.warning("results_folder %s: missing results are written after the next start", self._folder)

    def note_first_start(self) -> None:
        """At the first start, begin behind the rows that are there; call it before this run adds one.

        The clock cannot distinguish old rows from new ones: it may be ahead, and be corrected a minute later.

        Raises:
            SchemaError: the ledger has no schema.
            StoreUnavailable: an outage.
        """
        if not self._is_first_start:
            return
        of_station = sa.select(stations.c.id, stations.c.first_opened_us).where(
            stations.c.name == self._station
        )
        with database.reading(self._url) as engine, database.transaction(engine) as connection:
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
        if newest:
            position = replace(self._position, after=newest.id, recorded_us=newest.recorded_us)
        else:
            position = replace(self._position, since_us=0, opened_us=known.first_opened_us if known else 0)
        try:
            self._save_position(position)
        except OSError as error:
            log.warning("%s cannot be written: %s", self._position_file, error.strerror)
            self._position = position  # it is saved again with the first results
        self._is_first_start = False

    def fault(self) -> str | None:
        """Return what is wrong with the folder, or None; safe for any thread."""
        if self._thread.ident is not None and not self._thread.is_alive():
            return f"{self._folder} gets no more results: restart the service; its log says why"
        since, failure = self._busy_since, self._failure
        if since is not None and time.monotonic() - since > _MAX_SILENCE_S:
            return f"{self._folder} has not answered for over {_MAX_SILENCE_S:.0f} s"
        return failure.text if failure else None

    # --- the thread -----------------------------------------------------------------------------------

    def _run(self) -> None:
        """Write results after each commit, and the remaining ones when the end is requested."""
        if not self._is_first_start:
            self._woken.set()  # for results that the last run left
        while not self._ending.is_set():
            self._woken.wait()
            self._woken.clear()
            while not self._catch_up():
                if self._ending.wait(_RETRY_S):
                    break
        self._catch_up()
        if self._engine:
            self._engine.dispose()

    def _catch_up(self) -> bool:
        """Write the results after the position; return False if folder or database refuse for now."""
        try:
            self._write_new_results()
        except OSError as error:
            self._note_failure(error)
            return False
        except StationError as error:  # the daemon reports it, and waits for the same database
            log.debug("results wait: %s", error)
            if self._engine:
                self._engine.dispose()  # the server of this connection may be a wrong one by now
            return False
        finally:
            self._busy_since = None
        self._note_recovery()
        return True

    def _write_new_results(self) -> None:
        """Write all results after the position.

        Raises:
            OSError: the folder does not take a result.
            StationError: the database does not answer.
        """
        if self._is_first_start:  # the ledger has not been opened in this run, which has added no row
            return
        if self._engine is None:
            self._engine = database.engine(self._url, read_only=True)
        while some := self._read_next(self._engine):
            self._busy_since = time.monotonic()
            self._require_mount()
            for row in some:
                self._write(row)
                self._busy_since = time.monotonic()
            last, is_mount = some[-1], os.path.ismount(self._folder)
            _flush_names(self._folder)  # else a power cut could take results behind the position
            self._busy_since = time.monotonic()
            self._save_position(
                replace(self._position, after=last["id"], recorded_us=last["recorded_us"], is_mount=is_mount)
            )

    def _read_next(self, engine: sa.Engine) -> list[sa.RowMapping]:
        with database.transaction(engine) as connection:
            if self._is_another_ledger(connection):
                self._start_again()
            at = self._position
            since_us = None if at.after else at.since_us
            query = result_file.next_rows(at.after, self._station, _RESULTS_PER_READ, since_us=since_us)
            return list(connection.execute(query).mappings())

    def _is_another_ledger(self, connection: sa.Connection) -> bool:
        """Return whether the arrival of the position is not there: the database was replaced or restored.

        Arrivals are never removed. After a restore their numbers are used again, at any moment and without an
        outage that this thread would notice, so the time is compared as well.
        """
        at = self._position
        if not at.after:
            first = sa.select(stations.c.first_opened_us).where(stations.c.name == self._station)
            return at.opened_us not in (0, connection.scalar(first))
        recorded_us = connection.scalar(sa.select(arrival.c.recorded_us).where(arrival.c.id == at.after))
        return recorded_us is None or at.recorded_us not in (0, recorded_us)

    def _start_again(self) -> None:
        """Continue with the rows that were recorded after the last result, with any number.

        If the clock was ahead at the last result, go on from now.
        """
        at, now_us = self._position, time.time_ns() // 1000
        since_us = min(at.recorded_us + 1, now_us) if at.recorded_us else at.since_us or now_us
        self._save_position(replace(at, after=0, recorded_us=0, opened_us=0, since_us=since_us))
        self._events.add(
            "results_anew",
            "the database is another or an older one: results follow for images after the last result",
        )

    def _require_mount(self) -> None:
        if self._position.is_mount and not os.path.ismount(self._folder):
            raise OSError(
                errno.ENODEV, f"was a mount point and is none now (else remove {self._position_file})"
            )

    def _write(self, row: sa.RowMapping) -> None:
        fields = result_file.content(row, self._station, self._zone(), self._describe)
        content = json.dumps(fields, ensure_ascii=False, indent=1).encode() + b"\n"
        _write_file(self._folder / result_file.name(row), content, self._folder / f".{row['id']}.tmp")

    # --- position and failure -------------------------------------------------------------------------

    def _fresh_position(self) -> _Position:
        return _Position(str(self._folder), database.display(self._url), time.time_ns() // 1000)

    def _stored_position(self) -> _Position | None:
        """Return the position of the last run; None at the first start, or if the database is another one."""
        fresh = self._fresh_position()
        try:
            stored = _Position(**json.loads(self._position_file.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError) as error:
            log.warning("%s cannot be read, results are written from now on: %s", self._position_file, error)
            return None
        if stored.database != fresh.database:
            return None
        if stored.folder != fresh.folder:
            stored = replace(stored, folder=fresh.folder, is_mount=None)
        # If the ledger turns out to be another one, its results are written from this start on.
        return replace(stored, since_us=fresh.since_us) if stored.after else stored

    def _save_position(self, position: _Position) -> None:
        unfinished = self._position_file.with_name(f"{self._position_file.name}.new")
        _write_file(self._position_file, json.dumps(asdict(position)).encode(), unfinished)
        _flush_names(self._position_file.parent)
        self._position = position

    def _note_failure(self, error: OSError) -> None:
        """Keep the latest reason for the health page; report the first one as an event."""
        before, text = self._failure, f"{self._folder}: {error.strerror}; its results wait in the database"
        self._failure = _Failure(before.since if before else time.monotonic(), text)
        if before is None:
            self._events.add("results_failed", text)

    def _note_recovery(self) -> None:
        if self._failure:
            self._events.add("results_back", f"over after {time.monotonic() - self._failure.since:.1f} s")
            self._failure = None


def _write_file(path: Path, content: bytes, unfinished: Path) -> None:
    """Write a file under another name, flush it, and rename it: it is there whole or not at all.

    The account of the PLC may write to the folder, too. A link that it puts there is removed, not followed.
    """
    try:
        unfinished.unlink(missing_ok=True)  # also what a crash left
        with os.fdopen(os.open(unfinished, _NEW_FILE, 0o666), "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        unfinished.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            unfinished.unlink(missing_ok=True)
        raise


def _flush_names(folder: Path) -> None:
    """Flush a folder's names to the disk, so that a rename in it survives a power cut."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except PermissionError:  # a folder that this user may write to and not list
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_FLUSH_ERRNOS:
            raise
    finally:
        os.close(descriptor)
