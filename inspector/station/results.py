"""Each image's result as a file of its own, for a PLC or a manufacturing execution system to pick up.

The ledger is the queue. The next result is that of the next arrival after a position, which is kept on disk.
So nothing is held in memory, and a folder that is full, absent or hanging costs no result and no time of
inspection. A result is written under a hidden name, flushed and renamed, and its folder is flushed. Only then
the position moves on. After a crash or a power cut a few results are written again, under the same names with
the same content. None is left out or incomplete.

If a person changes the verdict on an image, one more result follows. Other programs add these verdicts, so
the thread looks for them every few seconds. They have a position of their own.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import tzinfo
from pathlib import Path
from types import TracebackType
from typing import Self

import sqlalchemy as sa
from sqlalchemy.engine import URL

from inspector.errors import StationError
from inspector.ledger import changes, database
from inspector.records import NameParts
from inspector.station import result_file
from inspector.station.events import Events
from inspector.station.result_position import Position
from inspector.station.whole_files import flush_names, write_file

log = logging.getLogger("weldnet")

_RESULTS_PER_READ = 100  # then the position is saved: at most so many are written again after a crash
_RETRY_S = 5.0  # a folder that failed is tried again this often
_MAX_SILENCE_S = 10.0  # a network folder that has not answered for so long counts as hanging
_LOOK_S = 5.0  # verdicts of people are looked for this often; it takes one look-up of an index
_MAX_STOP_S = 5.0  # at the end, for the results that are left; others are written after the next start


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
        self._started_us = time.time_ns() // 1000
        stored = self._stored_position()
        self._is_first_start = stored is None
        self._sent: dict[int, str] = {}  # verdicts of people beyond the position whose results are written
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
        with database.reading(self._url) as engine, database.transaction(engine) as connection:
            position = self._position.at_first_start(connection, self._station)
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
        """Write results after each commit, verdicts of people now and then, and what is left at the end."""
        if not self._is_first_start:
            self._woken.set()  # for results that the last run left
        while not self._ending.is_set():
            self._woken.wait(_LOOK_S)
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
            flush_names(self._folder)  # else a power cut could take results behind the position
            self._busy_since = time.monotonic()
            self._save_position(
                replace(self._position, after=last["id"], recorded_us=last["recorded_us"], is_mount=is_mount)
            )
        self._write_changed_verdicts(self._engine)

    def _write_changed_verdicts(self, engine: sa.Engine) -> None:
        """Write a result for each verdict of a person after the position that changed the final verdict.

        While somebody is writing verdicts, a lower number may still appear. The results are written, and the
        position waits.
        """
        newest = self._newest_verdict(engine)
        at = self._position
        if newest == (at.reviewed, at.reviewed_us):
            return
        with database.transaction(engine) as connection:  # one that begins after the newest verdict was read
            is_settled = not changes.are_being_written(connection)
        after = at.reviewed or 0
        while some := self._read_changes(engine, after):
            self._busy_since = time.monotonic()
            self._require_mount()
            for row in some:
                if self._sent.get(row["review"]) != row["old_verdict"]:
                    self._write(row)
                    self._sent[row["review"]] = row["old_verdict"]
                self._busy_since = time.monotonic()
            flush_names(self._folder)
            after = some[-1]["review"]
        if is_settled and newest[0]:
            self._save_position(replace(self._position, reviewed=newest[0], reviewed_us=newest[1]))
            self._sent = {review: old for review, old in self._sent.items() if review > newest[0]}

    def _newest_verdict(self, engine: sa.Engine) -> tuple[int, int]:
        """Return number and time of the newest verdict of a person; correct the position before.

        A position of an older version begins behind the verdicts that are there.
        """
        with database.transaction(engine) as connection:
            newest = changes.newest(connection)
            at = self._position
            if at.reviewed is None:
                self._save_position(replace(at, reviewed=newest[0], reviewed_us=newest[1]))
            elif at.has_lost_verdicts(connection):
                self._start_again(
                    at.again_for_verdicts(self._started_us), "an older one", "verdicts of people"
                )
        return newest

    def _read_changes(self, engine: sa.Engine, after: int) -> list[sa.RowMapping]:
        at = self._position
        since_us = 0 if at.reviewed else at.reviewed_us
        query = changes.next_rows(after, self._station, _RESULTS_PER_READ, since_us=since_us)
        with database.transaction(engine) as connection:
            return list(connection.execute(query).mappings())

    def _read_next(self, engine: sa.Engine) -> list[sa.RowMapping]:
        with database.transaction(engine) as connection:
            if self._position.is_of_another_ledger(connection, self._station):
                position = self._position.again(self._started_us)
                self._start_again(position, "another or an older one", "images")
            at = self._position
            since_us = None if at.after else at.since_us
            query = result_file.next_rows(at.after, self._station, _RESULTS_PER_READ, since_us=since_us)
            return list(connection.execute(query).mappings())

    def _start_again(self, position: Position, ledger: str, rows: str) -> None:
        self._save_position(position)
        self._sent.clear()
        self._events.add(
            "results_anew", f"the database is {ledger}: results follow for {rows} after the last result"
        )

    def _require_mount(self) -> None:
        if self._position.is_mount and not os.path.ismount(self._folder):
            raise OSError(
                errno.ENODEV, f"was a mount point and is none now (else remove {self._position_file})"
            )

    def _write(self, row: sa.RowMapping) -> None:
        fields = result_file.content(row, self._station, self._zone(), self._describe)
        content = json.dumps(fields, ensure_ascii=False, indent=1).encode() + b"\n"
        name = result_file.name(row)
        write_file(self._folder / name, content, self._folder / f".{name.split('.')[-2]}.tmp")

    # --- position and failure -------------------------------------------------------------------------

    def _fresh_position(self) -> Position:
        return Position(str(self._folder), database.display(self._url), self._started_us)

    def _stored_position(self) -> Position | None:
        """Return the position of the last run; None at the first start, or if the database is another one."""
        fresh, stored = self._fresh_position(), Position.stored(self._position_file)
        if stored is None or stored.database != fresh.database:
            return None
        if stored.folder != fresh.folder:
            stored = replace(stored, folder=fresh.folder, is_mount=None)
        # If the ledger turns out to be another one, its results are written from this start on.
        return replace(stored, since_us=fresh.since_us) if stored.after else stored

    def _save_position(self, position: Position) -> None:
        position.save(self._position_file)
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
