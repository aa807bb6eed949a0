"""Which files in the drop folder are ready to be read. The scan is the truth; the watch only wakes it.

A file is *ready* at once when its close was seen or when it came in by a rename. Otherwise size, mtime,
ctime, blocks and inode must stand still for ``settle_s`` on the monotonic clock: a copy may keep an old
mtime, and a file may be pre-allocated, but ctime and blocks tell the truth. What has not changed for a
minute by its ctime when it is first seen is ready without waiting, so that a backlog starts at once: ctime
is set by the kernel at each write and no copy can keep an old one; the minute allows for a file server's
clock. A reading that comes too early all the same costs nothing, because :meth:`Intake.retry` follows.

However many files wait, at most ``_MOST`` of them are known by name: those with the oldest mtimes, and what
the watch reports meanwhile. The rest is counted, and taken up by later scans.
"""

from __future__ import annotations

import heapq
import os
import random
import stat
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path, PurePath
from types import TracebackType
from typing import Final, Self

from inspector.file_names import to_text
from inspector.records import Arrival
from inspector.station.drop_folder import DropFolder
from inspector.station.events import Events
from inspector.station.listing import is_image_name, is_named_as_intake
from inspector.station.ready_queue import ReadyQueue
from inspector.station.watch import Close

_OLD_S: Final = 60.0  # unchanged this long by ctime: no writer is at work (module docstring)
_SCAN_SHARE: Final = 20  # a scan comes no sooner than this many times its own cost after the last one
_LOOKS: Final = 4  # an unreadable file is read again this many times in give_up_s, even if it stands still
_MOST: Final = 20_000  # files known by name: some 20 MB, and minutes of work between two scans
_SPARE: Final = 4_000  # of them, for what the watch reports while a backlog fills the rest
_REMOTE_SETTLE_S: Final = 3.0  # an NFS client may show attributes that are 3 s old (acregmin in nfs(5))
_MOST_LEFT_ALONE: Final = 1_000  # directories remembered; a folder with more is nobody's camera
_LONGEST_PAUSE_S: Final = 300.0  # between two tries to move one file that the file system refuses to move


class _State(Enum):
    WAITING = 1
    READY = 2
    TAKEN = 3


@dataclass(slots=True)
class _Entry:
    """One file that waits."""

    seen_us: int
    seen_monotonic: float
    stamp: tuple[int, ...]
    changed: float  # monotonic seconds of the last change that was noticed
    order: float  # by which it comes to its turn: as seen_monotonic, but for files past those known by name
    state: _State = _State.WAITING
    close: Close | None = None  # the last close that came while it was taken
    warned: bool = False
    failures: int = 0  # times that it could not be moved, or not read for the station's own trouble


class Intake:
    """The drop folder as a queue: a context manager that owns the folder while it is open.

    All methods but :meth:`wake` belong to one thread.

    Args:
        folder: the drop folder; it is never created.
        events: where troubles and slow writers are reported.
        settle_s: seconds a file whose close was not seen must stand still.
        give_up_s: seconds after its last change for which an unreadable file is tried again.
        scan_s: seconds between scans.
        subfolders: the folders in the drop folder, one for each camera, are intake as well.
        only_first_scan: take what the folder holds at the start and ignore what comes later.
        monotonic: seconds; measures durations.
        wall_us: UTC epoch microseconds; stamps arrivals.
    """

    def __init__(
        self,
        folder: Path,
        events: Events,
        *,
        settle_s: float,
        give_up_s: float,
        scan_s: float,
        subfolders: bool = False,
        only_first_scan: bool = False,
        monotonic: Callable[[], float] = time.monotonic,
        wall_us: Callable[[], int] = lambda: time.time_ns() // 1000,
    ) -> None:
        self.folder = folder
        self.events = events
        self._settle_s = settle_s
        self._give_up_s = give_up_s
        self._scan_s = scan_s
        self._only_first_scan = only_first_scan
        self._monotonic = monotonic
        self._wall_us = wall_us
        self._woken = threading.Event()
        self._drop = DropFolder(
            folder, events, subfolders=subfolders, wake=self._woken.set, wall_us=wall_us, monotonic=monotonic
        )
        self._entries: dict[str, _Entry] = {}  # by name, relative to the drop folder
        self._beyond = 0  # files past those that are known by name
        self._beyond_since = 0.0  # when (monotonic) those were first counted
        self._ready = ReadyQueue(self._is_ready, monotonic)
        self._due: list[tuple[float, str]] = []  # heap: when to look at a waiting file again
        self._left_alone: set[tuple[str, int]] = set()  # directories by inode, warned about once
        self._next_scan = 0.0
        self._opened_ns: int | None = None  # UTC, after the first scan

    def __enter__(self) -> Self:
        """Lock, watch and scan the folder.

        Raises:
            FolderError: it does not exist, cannot be read, or another daemon owns it.
        """
        self._drop.open()
        if self._drop.is_remote:
            self._settle_s = max(self._settle_s, _REMOTE_SETTLE_S)
        try:
            self._scan()
        except BaseException:
            self._drop.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._drop.close()

    def take(self, limit: int) -> list[Arrival]:
        """Up to ``limit`` ready files, oldest first; each is taken until released, retried or postponed.

        Behind a backlog the latest get a share, see :mod:`inspector.station.ready_queue`.
        """
        self._look()
        taken: list[Arrival] = []
        while len(taken) < limit and (name := self._ready.pop()) is not None:
            entry = self._entries[name]
            entry.state = _State.TAKEN
            source_name = to_text(PurePath(name))
            taken.append(Arrival(self.folder / name, source_name, entry.seen_us, entry.seen_monotonic))
        return taken

    def retry(self, arrival: Arrival) -> bool:
        """Look at a taken file again later, because it could not be read yet.

        Returns:
            False once ``give_up_s`` has passed since the file last changed: it stays taken, for quarantine.
        """
        name = self._name_of(arrival)
        entry = self._entries[name]
        close, entry.close = entry.close, None
        if not self._notice_change(name, entry):
            return True  # somebody took it away
        now = self._monotonic()
        if close:
            self._make_ready(name, entry)
        elif now - entry.changed < self._give_up_s:
            entry.state = _State.WAITING
            heapq.heappush(self._due, (now + max(self._settle_s, self._give_up_s / _LOOKS), name))
        else:
            return False
        return True

    def release(self, arrival: Arrival) -> None:
        """Forget a taken file: it has left the folder. What stands under its name now is a new arrival."""
        entry = self._entries.pop(self._name_of(arrival), None)
        if entry and entry.close:
            self._on_close(entry.close)
        if self._beyond and len(self._entries) < _MOST // 4:
            self._next_scan = 0.0

    def postpone(self, arrival: Arrival) -> int:
        """Leave a taken file where it is, and hand it out again after a pause that grows with each failure.

        Returns:
            How often that has happened to this file.
        """
        name = self._name_of(arrival)
        entry = self._entries[name]
        entry.state, entry.close = _State.WAITING, None
        entry.failures += 1
        pause = min(self._scan_s * 2**entry.failures, _LONGEST_PAUSE_S)
        heapq.heappush(self._due, (self._monotonic() + pause * random.uniform(0.5, 1.0), name))
        return entry.failures

    def wait(self, timeout: float) -> None:
        """Sleep until a hint, :meth:`wake`, a file that may have settled, a due scan, or ``timeout`` seconds.

        Files that are ready and not taken do not end it: the caller had no room for them. Nor does what is
        overdue, for a caller that drains takes nothing and shall not spin.
        """
        now = self._monotonic()
        coming = [t - now for t in (self._next_scan, *(due for due, _ in self._due[:1])) if t > now]
        self._woken.wait(min([max(timeout, 0.0), *coming]))
        self._woken.clear()

    def wake(self) -> None:
        """End a :meth:`wait`, from any thread."""
        self._woken.set()

    def pending(self) -> int:
        """Files that wait in the folder, taken ones included; those past ``_MOST`` as of the last scan."""
        return len(self._entries) + self._beyond

    def oldest(self) -> float | None:
        """When (monotonic) the file that waits longest was first seen; None where none waits."""
        first = next(iter(self._entries.values()), None)  # entries stand in the order of first sight
        return None if first is None else first.seen_monotonic

    @property
    def troubles(self) -> list[str]:
        """What is not as it should be with the folder right now, for people."""
        return list(self._drop.troubles.values())

    @property
    def exhausted(self) -> bool:
        """True when only the first scan was asked for, and nothing of it is left that can be done now."""
        hopeless = (
            (entry.warned and entry.state is _State.WAITING)  # still being written
            or (entry.failures > 0 and entry.state is not _State.TAKEN)  # it cannot be moved
            for entry in self._entries.values()
        )
        return self._only_first_scan and not self._beyond and all(hopeless)

    def _name_of(self, arrival: Arrival) -> str:
        return str(arrival.path.relative_to(self.folder))

    def _is_ready(self, name: str) -> bool:
        entry = self._entries.get(name)
        return entry is not None and entry.state is _State.READY

    # --- what the folder tells ------------------------------------------------------------------------

    def _look(self) -> None:
        closes, missed_some = self._drop.closes()
        for close in closes:
            self._on_close(close)
        now = self._monotonic()
        while self._due and self._due[0][0] <= now:
            name = heapq.heappop(self._due)[-1]
            entry = self._entries.get(name)
            if entry and entry.state is _State.WAITING:
                self._look_at(name, entry)
        if missed_some or now >= self._next_scan:
            self._scan()

    def _scan(self) -> None:
        started, started_us = self._monotonic(), self._wall_us()
        known: set[str] = set()  # entries that are still there
        if self._drop.is_there():
            try:
                self._take_up_new(known, started_us, started)
            except OSError as error:
                self._drop.cannot_list(error)
                known.update(self._entries)
        else:
            self._beyond = 0
        for name in [n for n, e in self._entries.items() if n not in known and e.state is not _State.TAKEN]:
            del self._entries[name]
        self._opened_ns = self._opened_ns or started_us * 1000
        now = self._monotonic()
        self._next_scan = now + max(self._scan_s, _SCAN_SHARE * (now - started))

    def _take_up_new(self, known: set[str], seen_us: int, seen: float) -> None:
        """Enter what is new, the oldest first and as many as there is room for; count the rest."""
        found = 0

        def new() -> Iterator[tuple[int, str, os.stat_result]]:
            nonlocal found
            for name in self._drop.names():
                if name in self._entries:
                    known.add(name)
                elif (status := self._admitted(name)) is not None:
                    found += 1
                    yield status.st_mtime_ns, name, status

        if not self._beyond:
            self._beyond_since = seen
        room = max(_MOST - _SPARE - len(self._entries), 1)
        oldest = heapq.nsmallest(room, new())
        self._beyond = found - len(oldest)
        for _, name, status in oldest:
            known.add(name)
            self._enter(name, status, seen_us, seen, order=self._beyond_since)

    def _admitted(self, name: str) -> os.stat_result | None:
        """The status of what is intake; None for names that are none, for directories, and where too late."""
        if not is_named_as_intake(name):
            return None
        if self._only_first_scan and self._opened_ns and not self._beyond:
            return None
        status = self._drop.stat(name)
        if status is None or (name, status.st_ino) in self._left_alone:
            return None
        if stat.S_ISDIR(status.st_mode) and not is_image_name(name):
            if len(self._left_alone) < _MOST_LEFT_ALONE:
                self._left_alone.add((name, status.st_ino))
                self.events.add("directory", f"{to_text(PurePath(name))} is left in the drop folder")
            return None
        if self._only_first_scan and self._opened_ns and status.st_ctime_ns > self._opened_ns:
            return None
        return status

    def _on_close(self, close: Close) -> None:
        entry = self._entries.get(close.name)
        if entry is None:
            if (status := self._admitted(close.name)) is None:
                return
            if len(self._entries) < _MOST:
                self._enter(close.name, status, close.us, close.monotonic, order=close.monotonic, closed=True)
            else:
                self._beyond += 1  # a scan will find it
        elif entry.state is _State.TAKEN:
            entry.close = close
        elif entry.state is _State.WAITING:
            entry.seen_us, entry.seen_monotonic = close.us, close.monotonic
            entry.order = close.monotonic
            self._make_ready(close.name, entry)

    def _enter(
        self,
        name: str,
        status: os.stat_result,
        seen_us: int,
        seen: float,
        *,
        order: float,
        closed: bool = False,
    ) -> None:
        age = seen_us / 1e6 - status.st_ctime_ns / 1e9
        is_old = age > _OLD_S
        entry = _Entry(seen_us, seen, _stamp(status), changed=seen - age if is_old else seen, order=order)
        self._entries[name] = entry
        if closed or is_old:
            self._make_ready(name, entry)
        else:
            heapq.heappush(self._due, (seen + self._settle_s, name))

    # --- what a file tells ----------------------------------------------------------------------------

    def _look_at(self, name: str, entry: _Entry) -> None:
        """A waiting file is due: it has settled, or it has changed and waits on, for ever if need be."""
        if not self._notice_change(name, entry):
            return
        now = self._monotonic()
        if entry.changed + self._settle_s <= now:  # the very sum that was due: a difference may round short
            self._make_ready(name, entry)
        else:
            heapq.heappush(self._due, (entry.changed + self._settle_s, name))

    def _notice_change(self, name: str, entry: _Entry) -> bool:
        """Bring the entry up to date; False if the file is gone, and the entry with it."""
        status = self._drop.stat(name)
        if status is None:
            del self._entries[name]
            return False
        now = self._monotonic()
        if _stamp(status) != entry.stamp:
            entry.stamp, entry.changed = _stamp(status), now
        if not entry.warned and now - entry.seen_monotonic > self._give_up_s > now - entry.changed:
            entry.warned = True
            self.events.add("slow_writer", f"{to_text(PurePath(name))} is still being written")
        return True

    def _make_ready(self, name: str, entry: _Entry) -> None:
        entry.state = _State.READY
        mtime_ns = entry.stamp[2]
        self._ready.add(name, entry.order, mtime_ns)


def _stamp(status: os.stat_result) -> tuple[int, ...]:
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_blocks
