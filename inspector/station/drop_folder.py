"""The drop folder itself: locked by one daemon, watched, and checked for being lost or replaced.

On a file system that other machines write to as well (NFS, SMB, FUSE, 9p), inotify reports only what this
machine does. Such a folder has no watch, and only the scan finds new files. watchdog's PollingObserver would
do no more than that scan, with a status call for each file each time, and events that prove nothing.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from inspector import filesystems, folders, locks
from inspector.errors import FolderError
from inspector.station.events import Events
from inspector.station.listing import is_subfolder
from inspector.station.watch import Close, FolderWatch


class DropFolder:
    """An open, locked, watched folder. It is never created, and the station never writes into it.

    Args:
        path: the folder.
        events: where troubles are reported; one that lasts is reported once.
        subfolders: whether the folders in it are part of it, one level deep.
        wake: called from the watch's thread after each hint.
        wall_us: UTC epoch microseconds.
        monotonic: seconds.

    Attributes:
        troubles: present troubles by kind, as lines for people.
    """

    def __init__(
        self,
        path: Path,
        events: Events,
        *,
        subfolders: bool,
        wake: Callable[[], None],
        wall_us: Callable[[], int],
        monotonic: Callable[[], float],
    ) -> None:
        self.path = path
        self.troubles: dict[str, str] = {}
        self._events = events
        self._subfolders = subfolders
        self._wake = wake
        self._wall_us = wall_us
        self._monotonic = monotonic
        self._fd = -1
        self._device: int | None = None
        self._mount = filesystems.Mount(Path("/"), "unknown", "unknown")
        self._watches: dict[str, FolderWatch] = {}  # by prefix: "" for the folder itself
        self._is_stale = False  # the descriptor has failed: open the folder again

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
        self._fd, self._is_stale = fd, False
        self._device, self._mount = os.fstat(fd).st_dev, filesystems.mount_of(self.path)
        if self.is_remote:
            self._report_once(
                "polling", f"{self.path} is on {self._mount.kind}: found by scans, not by a watch"
            )
        else:
            self._watch("")

    def close(self) -> None:
        """Stop watching and release the lock; may be called twice."""
        for prefix in list(self._watches):
            self._watches.pop(prefix).close()
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    @property
    def is_remote(self) -> bool:
        """Whether other machines may write here without notice to this kernel."""
        return filesystems.is_remote(self._mount.kind)

    @property
    def device(self) -> int | None:
        """Device of the folder that is in use; None before the first opening. Safe for any thread."""
        return self._device

    def is_there(self) -> bool:
        """Whether the path names the drop folder; a new folder on the same mount replaces the old one.

        A folder on another mount is most likely the empty mount point of an unmounted drop folder. It is left
        alone until the right one is back. A file system that comes back may have another device number (NFS,
        SMB, tmpfs), but its mount point, kind and source are the old ones.
        """
        try:
            found = self.path.stat()
            if self._fd < 0 or self._is_stale or not os.path.samestat(found, os.fstat(self._fd)):
                self._reopen(found.st_dev)
        except (OSError, FolderError) as error:
            self._report_once("folder_lost", f"waiting for it: {error}")
            return False
        if self.troubles.pop("folder_lost", None):
            self._events.add("folder_back", str(self.path))
        if "" not in self._watches and not self.is_remote:
            self._watch("")
        return True

    def names(self) -> Iterator[str]:
        """List the names in the folder, and in its sub-folders if they are part of it.

        Raises:
            OSError: it cannot be listed now; pass the error to :meth:`listing_failed`.
        """
        subfolders = []
        with os.scandir(self._fd) as listing:
            for item in listing:
                if self._subfolders and is_subfolder(item):
                    subfolders.append(item.name)
                else:
                    yield item.name
        for gone in self._watches.keys() - {"", *(f"{folder}/" for folder in subfolders)}:
            self._watches.pop(gone).close()
        for folder in subfolders:
            yield from self._names_in(folder)
        self.troubles.pop("folder_unreadable", None)

    def listing_failed(self, error: OSError) -> None:
        """Report a listing that broke off, and open the folder again next time."""
        self._is_stale = True
        self._report_once("folder_unreadable", f"{self.path}: {error.strerror}")

    def stat(self, name: str) -> os.stat_result | None:
        """Return the status of one name, following no link to it or to its sub-folder; None if gone."""
        folder, _, last = name.rpartition("/")
        with contextlib.suppress(OSError):
            if not folder:
                return os.stat(name, dir_fd=self._fd, follow_symlinks=False)
            fd = folders.open_below(self._fd, folder)
            try:
                return os.stat(last, dir_fd=fd, follow_symlinks=False)
            finally:
                os.close(fd)
        return None

    def has_writer(self, name: str) -> bool:
        """Whether a program still has a file open for writing; False if this machine cannot know it.

        The watch knows of files that were created while it ran; the kernel is asked about the others.
        """
        watch = self._watches.get(name[: name.rfind("/") + 1])
        is_unclosed = watch is not None and watch.is_unclosed(name)
        return not self.is_remote and (is_unclosed or filesystems.is_open_for_writing(self.path / name))

    def closes(self) -> tuple[list[Close], bool]:
        """Return the files closed or moved in since the last call, and whether some may be missing."""
        closes, missed_some = [], False
        for prefix, watch in list(self._watches.items()):
            closes += watch.drain()
            if watch.trouble:
                missed_some = True
                about = f"{prefix} " if prefix else ""
                self._events.add(f"watch_{watch.trouble}", f"{about}events may be missing: scanned at once")
                self._watch(prefix)
        return closes, missed_some

    def _names_in(self, folder: str) -> Iterator[str]:
        """List a sub-folder, which is watched first; one that has just been removed has no names."""
        prefix = f"{folder}/"
        if prefix not in self._watches and not self.is_remote:
            self._watch(prefix)
        with contextlib.suppress(FileNotFoundError):
            fd = folders.open_below(self._fd, folder)
            try:
                with os.scandir(fd) as listing:
                    for item in listing:
                        yield prefix + item.name
            finally:
                os.close(fd)

    def _reopen(self, device: int) -> None:
        mount = filesystems.mount_of(self.path)
        if device != self._device and mount != self._mount:
            raise FolderError(
                f"{self.path} is now on {mount.source} at {mount.point}, it was on {self._mount.source} at "
                f"{self._mount.point}; mount the right one, or restart the service if the move is intended"
            )
        was_stale = self._is_stale
        self.close()
        self.open()
        if "folder_lost" not in self.troubles and not was_stale:
            self._events.add("folder_replaced", f"{self.path} is another folder now")

    def _lock(self, fd: int) -> None:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.troubles.pop("foreign_lock", None)
        except BlockingIOError:
            # Everyone who may read the folder can lock it, so only a process of this account is a daemon.
            process = locks.holder(self.path)
            if locks.is_trusted(process):
                raise FolderError(
                    f"drop_folder {self.path}: another daemon (process {process}) owns it; stop that one, "
                    "or give this station a folder of its own"
                ) from None
            self._report_once(
                "foreign_lock",
                f"{self.path} is locked by {f'process {process}' if process else 'a process'} of another "
                "account, which the station ignores; end that process if it is not meant to be there",
            )
        except OSError as error:  # some network file systems lock nothing
            self._report_once("no_lock", f"{self.path} cannot be locked: {error.strerror}")

    def _watch(self, prefix: str) -> None:
        """Start a new watch of the folder or a sub-folder."""
        if old := self._watches.pop(prefix, None):
            old.close()
        try:
            self._watches[prefix] = FolderWatch(
                self.path / prefix,
                self._wake,
                prefix=prefix,
                wall_us=self._wall_us,
                monotonic=self._monotonic,
            )
            self.troubles.pop("no_watch", None)
        except (FileNotFoundError, NotADirectoryError):  # the next scan reports a folder that is gone
            return
        except OSError as error:
            self._report_once("no_watch", f"only scans find new files: {error.strerror}")

    def _report_once(self, kind: str, detail: str) -> None:
        if kind not in self.troubles:
            self._events.add(kind, detail)
        self.troubles[kind] = detail
