"""The drop folder as a queue of files that are ready to be read.

The scan finds every file; the watch only wakes it early. :mod:`inspector.station.readiness` says when a file
is ready. A reading that comes too early costs nothing, because :meth:`Intake.retry` follows.

However many files wait, at most ``_MAX_KNOWN_FILES`` of them are known by name: those with the oldest mtimes,
and the ones that the watch reports meanwhile. The rest is counted, and later scans enter it. The module is
long, because all of it changes one table of waiting files.
"""

from __future__ import annotations

import heapq
import os
import random
import stat
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePath
from types import TracebackType
from typing import Final, Self

from inspector.file_names import to_path, to_text
from inspector.records import Arrival, FileStamp
from inspector.station.drop_folder import DropFolder
from inspector.station.events import Events
from inspector.station.listing import has_intake_name, is_image_name
from inspector.station.readiness import State, WaitingFile
from inspector.station.ready_queue import ReadyQueue
from inspector.station.watch import Close
from inspector.times import now_us

_SCAN_PAUSE_FACTOR: Final = 20  # the pause after a scan is at least this many times as long as the scan
_READS_BEFORE_GIVING_UP: Final = 4  # tries within give_up_s, also for a file that does not change
_MAX_KNOWN_FILES: Final = 20_000  # files known by name: some 20 MB, and minutes of work between two scans
_ROOM_FOR_HINTS: Final = 4_000  # of them, for files that the watch reports while a backlog fills the rest
_REMOTE_SETTLE_S: Final = 3.0  # an NFS client may show attributes that are 3 s old (acregmin in nfs(5))
_MAX_IGNORED_FOLDERS: Final = 1_000  # folders remembered; no camera makes more
_MAX_PAUSE_S: Final = 300.0  # between two tries to move a file that the file system refuses to move


class Intake:
    """The drop folder as a queue: a context manager that owns the folder while it is open.

    All methods but :meth:`wake` belong to one thread.

    Args:
        folder: the drop folder; it is never created.
        events: where troubles and slow writers are reported.
        settle_s: seconds without a change after which a file is ready if its close was not seen.
        give_up_s: seconds after its last change during which an unreadable file is tried again.
        scan_s: seconds between scans.
        subfolders: whether the folders in the drop folder, one for each camera, are intake as well.
        ignore: shell patterns of names that stay where they are.
        only_first_scan: take the files that are there at the start, and ignore later ones.
        monotonic: seconds, for durations.
        wall_us: UTC epoch microseconds, for the times of arrivals.
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
        ignore: Sequence[str] = (),
        only_first_scan: bool = False,
        monotonic: Callable[[], float] = time.monotonic,
        wall_us: Callable[[], int] = now_us,
    ) -> None:
        self.folder = folder
        self.events = events
        self._settle_s = settle_s
        self._give_up_s = give_up_s
        self._scan_s = scan_s
        self._ignore = tuple(ignore)
        self._only_first_scan = only_first_scan
        self._monotonic = monotonic
        self._wall_us = wall_us
        self._woken = threading.Event()
        self._drop = DropFolder(
            folder, events, subfolders=subfolders, wake=self._woken.set, wall_us=wall_us, monotonic=monotonic
        )
        self._files: dict[str, WaitingFile] = {}  # by name, relative to the drop folder
        self._beyond = 0  # files past those that are known by name
        self._beyond_since = 0.0  # when (monotonic) those were first counted
        self._ready = ReadyQueue(self._is_ready, monotonic)
        self._due: list[tuple[float, str]] = []  # heap: when to look at a waiting file again
        self._ignored_folders: set[tuple[str, int]] = set()  # directories by inode, warned about once
        self._overwritten: Counter[str] = Counter()  # files replaced unread, by name, not reported yet
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
        self._report_overwritten()
        self._drop.close()

    def take(self, limit: int) -> list[Arrival]:
        """Take up to ``limit`` ready files, oldest first; each is taken until released, retried or postponed.

        During a backlog the latest files get a share, see :mod:`inspector.station.ready_queue`.
        """
        self._process_hints()
        taken: list[Arrival] = []
        while len(taken) < limit and (name := self._ready.pop()) is not None:
            file = self._files[name]
            file.state = State.TAKEN
            source_name = to_text(PurePath(name))
            taken.append(Arrival(self.folder / name, source_name, file.seen_us, file.seen_monotonic))
        return taken

    def retry(self, arrival: Arrival, read: FileStamp | None = None) -> bool:
        """Put a taken file back because it could not be read yet.

        Args:
            arrival: the file.
            read: the file as it was when it could not be read.

        Returns:
            False if ``give_up_s`` has passed since its last change, and no program is known to have it open
            for writing. Then it stays taken, for quarantine.
        """
        name = self._name_of(arrival)
        file = self._files[name]
        self._count_overwritten(name, file.replaced_before_retry(read))
        close = file.put_back()
        if not self._notice_change(name, file):
            return True  # it was taken away
        now = self._monotonic()
        if close and is_image_name(name):
            self._make_ready(name, file)
            return True
        if file.is_given_up(now, self._give_up_s):
            if not self._drop.has_writer(name, now - file.changed):
                return False
            self._report_slow_writer(name, file)
        file.state = State.WAITING
        pause_s = max(self._settle_s, self._give_up_s / _READS_BEFORE_GIVING_UP)
        heapq.heappush(self._due, (now + pause_s, name))
        return True

    def release(self, arrival: Arrival, read: FileStamp | None = None) -> None:
        """Forget a taken file that has left the folder; a file of its name is a new arrival from now on.

        Args:
            arrival: the file.
            read: the file as it was read; None if it could not be.
        """
        name = self._name_of(arrival)
        file = self._files.pop(name, None)
        if file and file.close:
            self._on_close(file.close)
        if file and read:
            is_there_again = name in self._files
            self._count_overwritten(name, file.replaced_before_reading(read, is_there_again=is_there_again))
        if self._beyond and len(self._files) < _MAX_KNOWN_FILES // 4:
            self._next_scan = 0.0

    def postpone(self, arrival: Arrival) -> int:
        """Put a taken file back, and hand it out again after a pause that grows with each failure.

        Returns:
            The number of times that this file has been postponed.
        """
        name = self._name_of(arrival)
        file = self._files[name]
        self._count_overwritten(name, file.replaced_before_retry(None))
        file.put_back()
        file.state = State.WAITING
        file.failures += 1
        pause = min(self._scan_s * 2**file.failures, _MAX_PAUSE_S)
        heapq.heappush(self._due, (self._monotonic() + pause * random.uniform(0.5, 1.0), name))
        return file.failures

    def is_taken(self, source_name: str) -> bool:
        """Whether a file of this name was taken, and is not released yet."""
        file = self._files.get(str(to_path(source_name)))
        return file is not None and file.state is State.TAKEN

    def wait(self, timeout: float) -> None:
        """Sleep until a hint, :meth:`wake`, a file that may have settled, a due scan, or ``timeout`` seconds.

        Ready files that were not taken do not end the sleep, since the caller had no room for them. Neither
        do overdue files: a caller that finishes its work takes no files, and must not spin.
        """
        now = self._monotonic()
        coming = [t - now for t in (self._next_scan, *(due for due, _ in self._due[:1])) if t > now]
        self._woken.wait(min([max(timeout, 0.0), *coming]))
        self._woken.clear()

    def wake(self) -> None:
        """End a :meth:`wait`, from any thread."""
        self._woken.set()

    def pending(self) -> int:
        """Number of files that wait, taken ones included; those past the known ones as of the last scan."""
        return len(self._files) + self._beyond

    def oldest(self) -> float | None:
        """Return when (monotonic) the file that waits longest was first seen; None if no file waits."""
        first = next(iter(self._files.values()), None)  # files are in the order of first sight
        return None if first is None else first.seen_monotonic

    @property
    def device(self) -> int | None:
        """Device of the drop folder that is in use; None before it was opened. Safe for any thread."""
        return self._drop.device

    @property
    def troubles(self) -> list[str]:
        """Present troubles of the folder, one line each, for people."""
        return list(self._drop.troubles.values())

    @property
    def exhausted(self) -> bool:
        """Whether only the first scan was asked for, and none of its files can be inspected now."""
        hopeless = (
            (file.has_slow_writer and file.state is State.WAITING)  # still being written
            or (file.failures > 0 and file.state is not State.TAKEN)  # it cannot be moved
            for file in self._files.values()
        )
        return self._only_first_scan and not self._beyond and all(hopeless)

    def postponed(self) -> int:
        """Number of files that wait because the station could not read, record or move them."""
        return sum(file.failures > 0 for file in self._files.values())

    def _name_of(self, arrival: Arrival) -> str:
        return str(arrival.path.relative_to(self.folder))

    def _is_ready(self, name: str) -> bool:
        file = self._files.get(name)
        return file is not None and file.state is State.READY

    # --- the folder -----------------------------------------------------------------------------------

    def _process_hints(self) -> None:
        closes, missed_some = self._drop.closes()
        for close in closes:
            self._on_close(close)
        self._report_overwritten()
        now = self._monotonic()
        while self._due and self._due[0][0] <= now:
            name = heapq.heappop(self._due)[-1]
            file = self._files.get(name)
            if file and file.state is State.WAITING:
                self._check_settled(name, file)
        if missed_some or now >= self._next_scan:
            self._scan()

    def _scan(self) -> None:
        started, started_us = self._monotonic(), self._wall_us()
        known: set[str] = set()  # known files that are still there
        if self._drop.is_there():
            try:
                self._enter_new_files(known, started_us, started)
            except OSError as error:
                self._drop.listing_failed(error)
                known.update(self._files)
        else:
            self._beyond = 0
        for name in [n for n, f in self._files.items() if n not in known and f.state is not State.TAKEN]:
            del self._files[name]
        self._opened_ns = self._opened_ns or started_us * 1000
        now = self._monotonic()
        self._next_scan = now + max(self._scan_s, _SCAN_PAUSE_FACTOR * (now - started))

    def _enter_new_files(self, known: set[str], seen_us: int, seen: float) -> None:
        """Add new files, the oldest first and as many as there is room for; count the rest."""
        found = 0

        def new() -> Iterator[tuple[int, str, os.stat_result]]:
            nonlocal found
            for name in self._drop.names():
                if name in self._files:
                    known.add(name)
                elif (status := self._admitted(name)) is not None:
                    found += 1
                    yield status.st_mtime_ns, name, status

        if not self._beyond:
            self._beyond_since = seen
        room = max(_MAX_KNOWN_FILES - _ROOM_FOR_HINTS - len(self._files), 1)
        oldest = heapq.nsmallest(room, new())
        self._beyond = found - len(oldest)
        for _, name, status in oldest:
            known.add(name)
            self._enter(name, status, seen_us, seen, order=self._beyond_since)

    def _admitted(self, name: str) -> os.stat_result | None:
        """Return the status of a file that is intake; None for other names, folders, and late files."""
        if not has_intake_name(name, self._ignore):
            return None
        if self._only_first_scan and self._opened_ns and not self._beyond:
            return None
        status = self._drop.stat(name)
        if status is None or (name, status.st_ino) in self._ignored_folders:
            return None
        if stat.S_ISDIR(status.st_mode) and not is_image_name(name):
            if len(self._ignored_folders) < _MAX_IGNORED_FOLDERS:
                self._ignored_folders.add((name, status.st_ino))
                self.events.add("directory", f"{to_text(PurePath(name))} is left in the drop folder")
            return None
        if self._only_first_scan and self._opened_ns and status.st_ctime_ns > self._opened_ns:
            return None
        return status

    def _on_close(self, close: Close) -> None:
        file = self._files.get(close.name)
        if file is None:
            if (status := self._admitted(close.name)) is None:
                return
            if len(self._files) < _MAX_KNOWN_FILES:
                is_whole = is_image_name(close.name)
                self._enter(
                    close.name, status, close.us, close.monotonic, order=close.monotonic, closed=is_whole
                )
            else:
                self._beyond += 1  # a scan will find it
        elif file.state is State.TAKEN:
            file.closed_while_taken(close)
        elif is_image_name(close.name) or file.state is State.READY:
            self._on_close_of_waiting(close, file)

    def _on_close_of_waiting(self, close: Close, file: WaitingFile) -> None:
        status = self._drop.stat(close.name)
        if file.is_replaced_by(close, status):
            self._count_overwritten(close.name, 1)
        if status is not None:
            file.notice(status, self._monotonic())
        file.has_unread_close = True
        if file.state is State.WAITING:
            file.closed(close)
            self._make_ready(close.name, file)

    def _count_overwritten(self, name: str, files: int) -> None:
        if files > 0:
            self._overwritten[name] += files

    def _report_overwritten(self) -> None:
        """Report files that were replaced before they were read: one event for each name."""
        for name, count in self._overwritten.items():
            times = f"{count} times " if count > 1 else ""
            self.events.add(
                "overwritten",
                f"{to_text(PurePath(name))} was written again {times}before it was read, so an earlier image "
                "may be missing; let the camera give each image a name of its own",
            )
        self._overwritten.clear()

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
        file = self._files[name] = WaitingFile.at_first_sight(status, seen_us, seen, order)
        file.has_unread_close = closed
        if closed or file.is_old:
            self._make_ready(name, file)
        else:
            heapq.heappush(self._due, (seen + self._pause_s(name), name))

    # --- one file -------------------------------------------------------------------------------------

    def _check_settled(self, name: str, file: WaitingFile) -> None:
        """Make a waiting file ready if it has settled; if it has changed, let it wait, however long."""
        if not self._notice_change(name, file):
            return
        now = self._monotonic()
        pause_s = self._pause_s(name)
        if file.is_settled(now, pause_s):
            self._make_ready(name, file)
        else:
            heapq.heappush(self._due, (file.settles_at(pause_s), name))

    def _notice_change(self, name: str, file: WaitingFile) -> bool:
        """Compare a file with what is known of it; forget it and return False if it is gone."""
        status = self._drop.stat(name)
        if status is None:
            del self._files[name]
            return False
        now = self._monotonic()
        file.notice(status, now)
        if file.is_slow(now, self._give_up_s):
            self._report_slow_writer(name, file)
        return True

    def _report_slow_writer(self, name: str, file: WaitingFile) -> None:
        if not file.has_slow_writer:
            file.has_slow_writer = True
            self.events.add("slow_writer", f"{to_text(PurePath(name))} is still being written")

    def _pause_s(self, name: str) -> float:
        """Return the seconds without a change after which a file is ready.

        A name that does not end like an image may be an uploader's temporary one, of which there are more
        than any list knows. Its close proves nothing, so it must not change for ``give_up_s``.
        """
        return self._settle_s if is_image_name(name) else max(self._settle_s, self._give_up_s)

    def _make_ready(self, name: str, file: WaitingFile) -> None:
        file.state = State.READY
        self._ready.add(name, file.order, file.mtime_ns)
