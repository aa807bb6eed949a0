"""The drop folder itself: owned by one daemon, watched, and noticed when it goes away or is replaced."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections import deque
from collections.abc import Callable
from pathlib import Path

from inspector.errors import FolderError
from inspector.watch import Close, FolderWatch


class DropFolder:
    """An open, locked, watched folder. It is never created, and nothing is ever put into it.

    Args:
        path: the folder.
        wake: called from the watch's thread after each hint.
        wall_us: UTC epoch microseconds.
        monotonic: seconds.

    Attributes:
        events: ``(kind, detail)`` of troubles, oldest first; one that lasts is told once.
    """

    def __init__(
        self,
        path: Path,
        *,
        wake: Callable[[], None],
        wall_us: Callable[[], int],
        monotonic: Callable[[], float],
    ) -> None:
        self.path = path
        self.events: deque[tuple[str, str]] = deque()
        self._wake = wake
        self._wall_us = wall_us
        self._monotonic = monotonic
        self._fd = -1
        self._device: int | None = None
        self._watch: FolderWatch | None = None
        self._told: set[str] = set()

    def open(self) -> None:
        """Open, lock and watch the folder.

        Raises:
            FolderError: it does not exist, cannot be read, or another daemon owns it.
        """
        try:
            fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise FolderError(
                f"drop_folder {self.path}: {error.strerror}; create it, or correct the setting"
            ) from None
        try:
            self._lock(fd)
        except BaseException:
            os.close(fd)
            raise
        self._fd = fd
        self._device = os.fstat(fd).st_dev
        self._renew_watch()

    def close(self) -> None:
        """Stop watching and free the lock; may be called twice."""
        if self._watch:
            self._watch.close()
            self._watch = None
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def is_there(self) -> bool:
        """Whether the path still names this folder; a new one on the same device is taken over.

        A folder on another device is most likely the empty mount point below an unmounted drop folder:
        it is left alone, and the right one is waited for.
        """
        try:
            found = self.path.stat()
            if self._fd < 0 or not os.path.samestat(found, os.fstat(self._fd)):
                self._take_over(found.st_dev)
        except (OSError, FolderError) as error:
            self._tell_once("folder_lost", f"waiting for it: {error}")
            return False
        if "folder_lost" in self._told:
            self._told.discard("folder_lost")
            self.events.append(("folder_back", str(self.path)))
        if self._watch is None:
            self._renew_watch()
        return True

    def names(self) -> list[str] | None:
        """Names of all that stands in the folder, or None where it cannot be listed now."""
        try:
            with os.scandir(self._fd) as listing:
                names = [item.name for item in listing]
        except OSError as error:
            self._tell_once("folder_unreadable", f"{self.path}: {error.strerror}")
            return None
        self._told.discard("folder_unreadable")
        return names

    def stat(self, name: str) -> os.stat_result | None:
        """Status of one name, links not followed; None if it is gone."""
        with contextlib.suppress(OSError):
            return os.stat(name, dir_fd=self._fd, follow_symlinks=False)
        return None

    def closes(self) -> tuple[list[Close], bool]:
        """Files closed or moved in since the last call, and whether some may have been missed."""
        if self._watch is None:
            return [], False
        closes, trouble = self._watch.drain(), self._watch.trouble
        if trouble:
            self.events.append((f"watch_{trouble}", "events may be missing: scanned at once"))
            self._renew_watch()
        return closes, trouble is not None

    def _take_over(self, device: int) -> None:
        if device != self._device:
            raise FolderError(f"{self.path} is now on another device; restart if that is meant")
        self.close()
        self.open()

    def _lock(self, fd: int) -> None:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FolderError(
                f"drop_folder {self.path}: another daemon{_lock_owner(fd)} owns it; stop that one, "
                "or give this station a folder of its own"
            ) from None
        except OSError as error:  # some network file systems lock nothing
            self._tell_once("no_lock", f"{self.path} cannot be locked: {error.strerror}")

    def _renew_watch(self) -> None:
        if self._watch:
            self._watch.close()
            self._watch = None
        try:
            self._watch = FolderWatch(self.path, self._wake, wall_us=self._wall_us, monotonic=self._monotonic)
            self._told.discard("no_watch")
        except OSError as error:
            self._tell_once("no_watch", f"scans must do: {error.strerror}")

    def _tell_once(self, kind: str, detail: str) -> None:
        if kind not in self._told:
            self._told.add(kind)
            self.events.append((kind, detail))


def owner(folder: Path) -> int | None:
    """The process that holds a drop folder's lock, found without taking it; None where that is not told."""
    with contextlib.suppress(OSError):
        return _holder(folder.stat().st_ino)
    return None


def _lock_owner(fd: int) -> str:
    """`` (process N)`` of whoever holds the flock; empty where that is not told."""
    process = _holder(os.fstat(fd).st_ino)
    return "" if process is None else f" (process {process})"


def _holder(inode: int) -> int | None:
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/locks").read_text().splitlines():
            fields = line.split()  # 1: FLOCK  ADVISORY  WRITE 1234 fe:00:5678 0 EOF
            if fields[1] == "FLOCK" and fields[5].endswith(f":{inode}"):
                return int(fields[4])
    return None
