"""Which files in the drop folder are ready to be read. The scan is the truth; the watch only wakes it.

A file is *ready* at once when its close was seen or when it came in by a rename. Otherwise size, mtime,
ctime, blocks and inode must stand still for ``settle_s`` on the monotonic clock: a copy may keep an old
mtime, and a file may be pre-allocated, but ctime and blocks tell the truth. What has not changed for a
minute by its ctime when it is first seen is ready without waiting, so that a backlog starts at once: ctime
is set by the kernel at each write and no copy can keep an old one; the minute allows for a file server's
clock. A reading that comes too early all the same costs nothing, because :meth:`Intake.retry` follows.
"""

from __future__ import annotations

import heapq
import os
import random
import stat
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path, PurePath
from types import TracebackType
from typing import Final, Self

from inspector.dropfolder import DropFolder
from inspector.errors import FolderError
from inspector.names import to_text
from inspector.records import Arrival
from inspector.watch import Close

IMAGE_SUFFIXES: Final = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
_OLD_S: Final = 60.0  # unchanged this long by ctime: no writer is at work (module docstring)
_SCAN_SHARE: Final = 20  # a scan comes no sooner than this many times its own cost after the last one
_LOOKS: Final = 4  # an unreadable file is read again this many times in give_up_s, even if it stands still
_LONGEST_PAUSE_S: Final = 300.0  # between two tries to move one file that the file system refuses to move


class _State(Enum):
    WAITING = 1
    READY = 2
    TAKEN = 3


@dataclass(slots=True)
class _Entry:
    """One file that waits; a backlog of 100,000 holds as many of these."""

    seen_us: int
    seen_monotonic: float
    stamp: tuple[int, ...]
    changed: float  # monotonic seconds of the last change that was noticed
    state: _State = _State.WAITING
    close: Close | None = None  # the last close that came while it was taken
    warned: bool = False
    failures: int = 0  # times that it could not be moved, or not read for the station's own trouble


class Intake:
    """The drop folder as a queue: a context manager that owns the folder while it is open.

    All methods but :meth:`wake` belong to one thread.

    Args:
        folder: the drop folder; it is never created.
        settle_s: seconds a file whose close was not seen must stand still.
        give_up_s: seconds after its last change for which an unreadable file is tried again.
        scan_s: seconds between scans.
        only_first_scan: take what the folder holds at the start and ignore what comes later.
        monotonic: seconds; measures durations.
        wall_us: UTC epoch microseconds; stamps arrivals.

    Attributes:
        events: ``(kind, detail)`` for the event table, oldest first; whoever records them pops them.
    """

    def __init__(
        self,
        folder: Path,
        *,
        settle_s: float,
        give_up_s: float,
        scan_s: float,
        only_first_scan: bool = False,
        monotonic: Callable[[], float] = time.monotonic,
        wall_us: Callable[[], int] = lambda: time.time_ns() // 1000,
    ) -> None:
        self.folder = folder
        self._settle_s = settle_s
        self._give_up_s = give_up_s
        self._scan_s = scan_s
        self._only_first_scan = only_first_scan
        self._monotonic = monotonic
        self._wall_us = wall_us
        self._woken = threading.Event()
        self._drop = DropFolder(folder, wake=self._woken.set, wall_us=wall_us, monotonic=monotonic)
        self.events: deque[tuple[str, str]] = self._drop.events
        self._entries: dict[str, _Entry] = {}
        self._ready: list[tuple[float, int, str]] = []  # heap: first seen, then mtime, then name
        self._due: list[tuple[float, str]] = []  # heap: when to look at a waiting file again
        self._left_alone: set[tuple[str, int]] = set()  # directories by inode, warned about once
        self._next_scan = 0.0
        self._scanned_once = False

    def __enter__(self) -> Self:
        """Lock, watch and scan the folder.

        Raises:
            FolderError: it does not exist, cannot be read, or another daemon owns it.
        """
        self._drop.open()
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
        """Up to ``limit`` ready files, oldest first; each is taken until released, retried or postponed."""
        self._look()
        taken: list[Arrival] = []
        while self._ready and len(taken) < limit:
            name = heapq.heappop(self._ready)[-1]
            entry = self._entries.get(name)
            if entry and entry.state is _State.READY:  # else it has gone, or stands in the heap twice
                entry.state = _State.TAKEN
                source_name = to_text(PurePath(name))
                taken.append(Arrival(self.folder / name, source_name, entry.seen_us, entry.seen_monotonic))
        return taken

    def retry(self, arrival: Arrival) -> bool:
        """Look at a taken file again later, because it could not be read yet.

        Returns:
            False once ``give_up_s`` has passed since the file last changed: it stays taken, for quarantine.
        """
        name = arrival.path.name
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
        entry = self._entries.pop(arrival.path.name, None)
        if entry and entry.close:
            self._on_close(entry.close)

    def postpone(self, arrival: Arrival) -> int:
        """Leave a taken file where it is, and hand it out again after a pause that grows with each failure.

        Returns:
            How often that has happened to this file.
        """
        name = arrival.path.name
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
        """Files that wait in the folder, taken ones included."""
        return len(self._entries)

    def oldest(self) -> float | None:
        """When (monotonic) the file that waits longest was first seen; None where none waits."""
        first = next(iter(self._entries.values()), None)  # entries stand in the order of first sight
        return None if first is None else first.seen_monotonic

    @property
    def exhausted(self) -> bool:
        """True when only the first scan was asked for, and nothing of it is left that can be done now."""
        hopeless = (
            (entry.warned and entry.state is _State.WAITING)  # still being written
            or (entry.failures > 0 and entry.state is not _State.TAKEN)  # it cannot be moved
            for entry in self._entries.values()
        )
        return self._only_first_scan and all(hopeless)

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
        names = self._drop.names() if self._drop.is_there() else []
        if names is not None:
            for name in names:
                if name not in self._entries and self._admits(name):
                    self._first_sight(name, started_us, started)
            self._forget_all_but(set(names))
            self._scanned_once = True
        now = self._monotonic()
        self._next_scan = now + max(self._scan_s, _SCAN_SHARE * (now - started))

    def _forget_all_but(self, names: set[str]) -> None:
        for name in [n for n, e in self._entries.items() if n not in names and e.state is not _State.TAKEN]:
            del self._entries[name]

    def _admits(self, name: str) -> bool:
        return _is_named_as_intake(name) and not (self._only_first_scan and self._scanned_once)

    def _on_close(self, close: Close) -> None:
        entry = self._entries.get(close.name)
        if entry is None:
            if self._admits(close.name):
                self._first_sight(close.name, close.us, close.monotonic, closed=True)
        elif entry.state is _State.TAKEN:
            entry.close = close
        elif entry.state is _State.WAITING:
            entry.seen_us, entry.seen_monotonic = close.us, close.monotonic
            self._make_ready(close.name, entry)

    def _first_sight(self, name: str, seen_us: int, seen: float, *, closed: bool = False) -> None:
        status = self._drop.stat(name)
        if status is None or (name, status.st_ino) in self._left_alone:
            return
        if stat.S_ISDIR(status.st_mode) and not _is_image_name(name):
            self._left_alone.add((name, status.st_ino))
            self.events.append(("directory", f"{to_text(PurePath(name))} is left in the drop folder"))
            return
        age = seen_us / 1e6 - status.st_ctime_ns / 1e9
        is_old = age > _OLD_S
        entry = _Entry(seen_us, seen, _stamp(status), changed=seen - age if is_old else seen)
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
            self.events.append(("slow_writer", f"{to_text(PurePath(name))} is still being written"))
        return True

    def _make_ready(self, name: str, entry: _Entry) -> None:
        entry.state = _State.READY
        mtime_ns = entry.stamp[2]
        heapq.heappush(self._ready, (entry.seen_monotonic, mtime_ns, name))


def waiting(folder: Path) -> list[Path]:
    """What waits in a drop folder right now, for people and for the ledger: read without owning the folder.

    Raises:
        FolderError: it cannot be listed.
    """
    try:
        with os.scandir(folder) as listing:
            return [
                Path(item.path)
                for item in listing
                if _is_named_as_intake(item.name)
                and (_is_image_name(item.name) or not item.is_dir(follow_symlinks=False))
            ]
    except OSError as error:
        raise FolderError(
            f"drop_folder {folder}: {error.strerror}; create it, or correct the setting"
        ) from None


def _is_named_as_intake(name: str) -> bool:
    return not name.startswith(".") and not name.lower().endswith((".tmp", ".part"))


def _is_image_name(name: str) -> bool:
    return name.lower().endswith(IMAGE_SUFFIXES)


def _stamp(status: os.stat_result) -> tuple[int, ...]:
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_blocks
