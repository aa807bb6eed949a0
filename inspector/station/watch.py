"""Wakes the intake when a file in the drop folder is closed or moved in; a hint, never the truth.

It stands on watchdog's inotify reader, one level below watchdog's observer: the observer holds each move
out of the folder for half a second to pair it, and the closes behind it too (the archive moves every file
out), and it hides a queue overflow, after which events are missing.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

from watchdog.observers.inotify_c import (
    CallbackId,
    InotifyConstants,
    InotifyEvent,
    InotifyFD,
    Mask,
    WatchDescriptor,
)

_MASK: Final = Mask(
    InotifyConstants.IN_CLOSE_WRITE
    | InotifyConstants.IN_MOVED_TO
    | InotifyConstants.IN_DELETE_SELF
    | InotifyConstants.IN_MOVE_SELF
    | InotifyConstants.IN_ONLYDIR
)
_MAX_HINTS: Final = 20_000  # kept while nothing reads them (a database outage); then a scan is cheaper


class Close(NamedTuple):
    """A file whose writer has closed it, or that came in whole by a rename."""

    name: str  # relative to the drop folder
    us: int
    monotonic: float


class FolderWatch:
    """An inotify watch on one folder, with its reader thread.

    ``trouble`` says why events may be missing (``overflow``, ``lost``), else None: scan, and open a new one.

    Args:
        folder: the folder to watch, not its sub-folders.
        prefix: put before each name.
        wake: called from the reader thread after each hint or trouble.
        wall_us: UTC epoch microseconds.
        monotonic: seconds.

    Raises:
        OSError: no watch can be had (system limits, or the folder is gone); scans must do.
    """

    def __init__(
        self,
        folder: Path,
        wake: Callable[[], None],
        *,
        prefix: str = "",
        wall_us: Callable[[], int],
        monotonic: Callable[[], float],
    ) -> None:
        self._wake = wake
        self._prefix = prefix
        self._wall_us = wall_us
        self._monotonic = monotonic
        self._closes: deque[Close] = deque()
        self._trouble: str | None = None
        self._reader = InotifyFD()
        self._reader.start()  # before the watch is added: it is the running reader that closes descriptors
        try:
            self._reader.add_callback(os.fsencode(folder), _MASK, self, CallbackId(id(self)))
        except OSError:
            self.close()
            raise

    @property
    def trouble(self) -> str | None:
        """Why events may be missing, or None."""
        return self._trouble or (None if self._reader.is_alive() else "lost")

    def drain(self) -> list[Close]:
        """All hints since the last call, in order."""
        closes = []
        while self._closes:
            closes.append(self._closes.popleft())
        return closes

    def close(self) -> None:
        """Stop the reader thread and close its descriptors."""
        self._reader.stop()
        self._reader.join()

    def on_event(self, event: InotifyEvent) -> None:
        """Called by the reader thread for each event."""
        if event.mask & (InotifyConstants.IN_DELETE_SELF | InotifyConstants.IN_MOVE_SELF):
            self._trouble = "lost"
        elif len(self._closes) >= _MAX_HINTS:
            self._trouble = "overflow"
        elif not event.mask & InotifyConstants.IN_ISDIR:
            self._closes.append(
                Close(self._prefix + os.fsdecode(event.name), self._wall_us(), self._monotonic())
            )
        self._wake()

    def on_queue_overflow(self) -> None:
        """Called by the reader thread when the kernel dropped events."""
        self._trouble = "overflow"
        self._wake()

    def on_watch_deleted(self, _: WatchDescriptor) -> None:
        """Called by the reader thread when the kernel dropped the watch (deleted, unmounted)."""
        self._trouble = "lost"
        self._wake()
