"""Hints that a file in the drop folder was closed or moved in; one may be missing, so scans follow.

One inotify instance with one reader thread serves the drop folder and all of its sub-folders. An account has
few instances (``fs.inotify.max_user_instances``, usually 128) and many watches, of which a folder takes one.

It uses watchdog's inotify reader, one level below watchdog's observer. The observer holds back each move out
of the folder for half a second to pair it, and the closes behind it too, and the archive moves every file
out. The observer also hides a queue overflow, after which events are missing.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections import deque
from collections.abc import Callable, Iterable
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
_MAX_UNCLOSED: Final = 10_000  # names remembered of files that are being written, in all folders: some 2 MB
_MAX_HINTS: Final = 20_000  # kept while nothing reads them (a database outage); then a scan is cheaper
_LIMITS: Final = {errno.ENOSPC: "max_user_watches", errno.EMFILE: "max_user_instances"}  # inotify(7)
_LIMITS_FOLDER: Final = Path("/proc/sys/fs/inotify")


class Close(NamedTuple):
    """A file that its writer has closed, or that came in whole by a rename."""

    name: str  # relative to the drop folder
    us: int
    monotonic: float


class Watch:
    """An inotify instance that watches any number of folders, with its reader thread.

    ``trouble`` says why events may be missing (``overflow``, ``lost``), or is None. After trouble, open a new
    watch and scan the folders.

    Args:
        wake: is called from the reader thread after each hint or trouble.
        wall_us: UTC epoch microseconds.
        monotonic: seconds.

    Raises:
        OSError: the system has no more instances; only scans find new files.
    """

    def __init__(
        self, wake: Callable[[], None], *, wall_us: Callable[[], int], monotonic: Callable[[], float]
    ) -> None:
        self._wake = wake
        self._wall_us = wall_us
        self._monotonic = monotonic
        self._folders: dict[str, _Folder] = {}  # by prefix
        self._closes: deque[Close] = deque()
        self._lost: deque[_Folder] = deque()
        self._unclosed: dict[str, _Folder] = {}  # names that were created and not closed, oldest first
        self._has_missed = False
        self._reader = InotifyFD()
        self._reader.start()  # before a folder is added, since only a running reader closes descriptors

    @property
    def trouble(self) -> str | None:
        """The reason why events of all folders may be missing, or None."""
        if not self._reader.is_alive():
            return "lost"
        return "overflow" if self._has_missed else None

    @property
    def prefixes(self) -> set[str]:
        """The prefixes of the folders that are watched."""
        return set(self._folders)

    def is_watching(self, prefix: str) -> bool:
        """Whether the folder with this prefix is watched."""
        return prefix in self._folders

    def add(self, path: Path, prefix: str) -> None:
        """Watch one more folder, without its sub-folders.

        Args:
            path: the folder.
            prefix: is put before each name: empty for the drop folder itself, else ``<sub-folder>/``.

        Raises:
            OSError: no watch is available (:func:`why_not` says why), or the folder is gone.
        """
        folder = _Folder(prefix, self)
        # A setting may name a link to the drop folder; a sub-folder that is a link is the camera's doing.
        mask = Mask(_MASK | InotifyConstants.IN_DONT_FOLLOW) if prefix else _MASK
        folder.descriptor = self._reader.add_callback(os.fsencode(path), mask, folder, folder.id)
        if folder.descriptor < 0:  # watchdog raises nothing for a folder that this user may not read
            self._reader.remove_callbacks([(folder.descriptor, folder.id)])
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        self._folders[prefix] = folder

    def remove(self, prefix: str) -> None:
        """Watch a folder no more; one that is not watched is ignored."""
        if folder := self._folders.pop(prefix, None):
            self._reader.remove_callbacks([(folder.descriptor, folder.id)])

    def lost(self) -> list[str]:
        """Return the prefixes of folders that were deleted or moved since the last call; they are removed."""
        prefixes = []
        while self._lost:
            folder = self._lost.popleft()
            if self._folders.get(folder.prefix) is folder:
                self.remove(folder.prefix)
                prefixes.append(folder.prefix)
        return prefixes

    def drain(self) -> list[Close]:
        """Return all hints since the last call, in order."""
        closes = []
        while self._closes:
            closes.append(self._closes.popleft())
        return closes

    def is_unclosed(self, name: str) -> bool:
        """Whether a file was created since its folder is watched, and its writer has not closed it yet."""
        folder = self._folders.get(name[: name.rfind("/") + 1])
        return folder is not None and self._unclosed.get(name) is folder

    def close(self) -> None:
        """Stop the reader thread and close its descriptors."""
        self._reader.stop()
        self._reader.join()

    def _on_event(self, folder: _Folder, event: InotifyEvent) -> None:
        name = folder.prefix + os.fsdecode(event.name)
        if event.mask & InotifyConstants.IN_CREATE:
            if not event.mask & InotifyConstants.IN_ISDIR:
                self._unclosed[name] = folder
            if len(self._unclosed) > _MAX_UNCLOSED:
                del self._unclosed[next(iter(self._unclosed))]
            return  # a close follows, so there is nothing to do yet
        self._unclosed.pop(name, None)
        if event.mask & (InotifyConstants.IN_DELETE_SELF | InotifyConstants.IN_MOVE_SELF):
            self._lost.append(folder)
        elif len(self._closes) >= _MAX_HINTS:
            self._has_missed = True
        elif not event.mask & InotifyConstants.IN_ISDIR:
            self._closes.append(Close(name, self._wall_us(), self._monotonic()))
        self._wake()

    def _on_lost(self, folder: _Folder) -> None:
        self._lost.append(folder)
        self._wake()

    def _on_overflow(self) -> None:
        self._has_missed = True
        self._wake()


class _Folder:
    """One watched folder; the reader thread calls its methods."""

    def __init__(self, prefix: str, watch: Watch) -> None:
        self.prefix = prefix
        self.id = CallbackId(id(self))
        self.descriptor = WatchDescriptor(-1)
        self._watch = watch

    def on_event(self, event: InotifyEvent) -> None:
        """Handle an event."""
        self._watch._on_event(self, event)

    def on_queue_overflow(self) -> None:
        """Note that the kernel dropped events of any folder."""
        self._watch._on_overflow()

    def on_watch_deleted(self, _: WatchDescriptor) -> None:
        """Note that the kernel dropped the watch (deleted, unmounted)."""
        self._watch._on_lost(self)


def try_folders(paths: Iterable[Path]) -> None:
    """Watch folders for a moment.

    Args:
        paths: the drop folder, which may be a link, and its sub-folders.

    Raises:
        OSError: the system refuses an instance or a watch (:func:`why_not` says why).
    """
    watch = Watch(lambda: None, wall_us=lambda: 0, monotonic=lambda: 0.0)
    try:
        for number, path in enumerate(paths):
            with contextlib.suppress(FileNotFoundError, NotADirectoryError, PermissionError):
                watch.add(path, f"{number}/" if number else "")
    finally:
        watch.close()


def why_not(error: OSError) -> str:
    """Say why a folder cannot be watched, and how to change that, in one line."""
    limit = _LIMITS.get(error.errno or 0)
    if limit is None:
        return error.strerror or str(error)
    try:
        value = (_LIMITS_FOLDER / limit).read_text().strip()
    except OSError:
        value = "unknown"
    return (
        f"this account has used up fs.inotify.{limit} ({value}); raise it with "
        f"'sysctl -w fs.inotify.{limit}=NUMBER' and in /etc/sysctl.d/"
    )
