"""Hints that a file in the drop folder was closed or moved in; one may be missing, so scans follow.

It uses watchdog's inotify reader, one level below watchdog's observer. The observer holds back each move out
of the folder for half a second to pair it, and the closes behind it too, and the archive moves every file
out. The observer also hides a queue overflow, after which events are missing.
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
    | InotifyConstants.IN_CREATE
    | InotifyConstants.IN_MOVED_TO
    | InotifyConstants.IN_DELETE_SELF
    | InotifyConstants.IN_MOVE_SELF
    | InotifyConstants.IN_ONLYDIR
)
_MAX_UNCLOSED: Final = (
    1_000  # names remembered of files that are being written; no camera writes more at once
)
_MAX_HINTS: Final = 20_000  # kept while nothing reads them (a database outage); then a scan is cheaper


class Close(NamedTuple):
    """A file that its writer has closed, or that came in whole by a rename."""

    name: str  # relative to the drop folder
    us: int
    monotonic: float


class FolderWatch:
    """An inotify watch on one folder, with its reader thread.

    ``trouble`` says why events may be missing (``overflow``, ``lost``), or is None. After trouble, scan the
    folder and open a new watch.

    Args:
        folder: the folder to watch, without its sub-folders.
        prefix: is put before each name.
        wake: is called from the reader thread after each hint or trouble.
        wall_us: UTC epoch microseconds.
        monotonic: seconds.

    Raises:
        OSError: no watch is available (system limits, or the folder is gone); only scans find new files.
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
        self._unclosed: dict[str, None] = {}  # names of files that were created and not closed, oldest first
        self._trouble: str | None = None
        self._reader = InotifyFD()
        self._reader.start()  # before the watch is added, since only a running reader closes descriptors
        try:
            # A setting may name a link to the drop folder; a sub-folder that is a link is the camera's doing.
            mask = Mask(_MASK | InotifyConstants.IN_DONT_FOLLOW) if prefix else _MASK
            self._reader.add_callback(os.fsencode(folder), mask, self, CallbackId(id(self)))
        except OSError:
            self.close()
            raise

    @property
    def trouble(self) -> str | None:
        """The reason why events may be missing, or None."""
        return self._trouble or (None if self._reader.is_alive() else "lost")

    def drain(self) -> list[Close]:
        """Return all hints since the last call, in order."""
        closes = []
        while self._closes:
            closes.append(self._closes.popleft())
        return closes

    def is_unclosed(self, name: str) -> bool:
        """Whether a file was created since the watch began, and its writer has not closed it yet."""
        return name in self._unclosed

    def close(self) -> None:
        """Stop the reader thread and close its descriptors."""
        self._reader.stop()
        self._reader.join()

    def on_event(self, event: InotifyEvent) -> None:
        """Handle an event; called by the reader thread."""
        name = self._prefix + os.fsdecode(event.name)
        if event.mask & InotifyConstants.IN_CREATE:
            if not event.mask & InotifyConstants.IN_ISDIR:
                self._unclosed[name] = None
            if len(self._unclosed) > _MAX_UNCLOSED:
                del self._unclosed[next(iter(self._unclosed))]
            return  # a close follows, so there is nothing to do yet
        self._unclosed.pop(name, None)
        if event.mask & (InotifyConstants.IN_DELETE_SELF | InotifyConstants.IN_MOVE_SELF):
            self._trouble = "lost"
        elif len(self._closes) >= _MAX_HINTS:
            self._trouble = "overflow"
        elif not event.mask & InotifyConstants.IN_ISDIR:
            self._closes.append(Close(name, self._wall_us(), self._monotonic()))
        self._wake()

    def on_queue_overflow(self) -> None:
        """Note that the kernel dropped events; called by the reader thread."""
        self._trouble = "overflow"
        self._wake()

    def on_watch_deleted(self, _: WatchDescriptor) -> None:
        """Note that the kernel dropped the watch (deleted, unmounted); called by the reader thread."""
        self._trouble = "lost"
        self._wake()
