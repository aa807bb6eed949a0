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
from pathlib import Path, PurePath
from typing import Final

from inspector import filesystems, folders, locks
from inspector.errors import FolderError
from inspector.file_names import to_text
from inspector.station.events import Events
from inspector.station.listing import is_subfolder
from inspector.station.watch import Close, Watch, why_not

_MAX_UNCLOSED_S: Final = 3600.0  # no camera stops for longer in the middle of an image


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
        self._watch: Watch | None = None  # of the folder (prefix "") and its sub-folders
        self._is_watch_refused = False  # by the kernel, since the last scan began
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
            self._start_watch()

    def close(self) -> None:
        """Stop watching and release the lock; may be called twice."""
        self._stop_watch()
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
        self._is_watch_refused = False
        if self._watch is None and not self.is_remote:
            self._start_watch()
        elif not self._watches(""):
            self._add_to_watch("")
        return True

    def names(self) -> Iterator[str]:
        """List the names in the folder, and in its sub-folders if they are part of it.

        Raises:
            OSError: it cannot be listed now; pass the error to :meth:`listing_failed`.
        """
        subfolders: list[str] = []
        unreadable: list[str] = []
        with os.scandir(self._fd) as listing:
            for item in listing:
                if self._subfolders and is_subfolder(item):
                    subfolders.append(item.name)
                else:
                    yield item.name
        if self._watch:
            for gone in self._watch.prefixes - {"", *(f"{folder}/" for folder in subfolders)}:
                self._watch.remove(gone)
        for folder in subfolders:
            try:
                yield from self._names_in(folder)
            except PermissionError:  # a camera that shuts its own folder must not hide the others'
                unreadable.append(folder)
        self._report_unreadable(unreadable)
        if not self._is_watch_refused:
            self.troubles.pop("no_watch", None)
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

    def has_writer(self, name: str, unchanged_s: float) -> bool:
        """Whether a program still has a file open for writing; False if this machine cannot know it.

        The kernel's answer counts. On another account's file it gives none. Then the watch knows of files
        that were created while it ran. It cannot tell them from hard links, which OpenSSH's SFTP server makes
        for a rename, so it counts for an hour.

        Args:
            name: the file.
            unchanged_s: seconds since its last change.
        """
        if self.is_remote:
            return False
        is_open = filesystems.is_open_for_writing(self.path / name)
        if is_open is None and self._watch and unchanged_s < _MAX_UNCLOSED_S:
            return self._watch.is_unclosed(name)
        return bool(is_open)

    def closes(self) -> tuple[list[Close], bool]:
        """Return the files closed or moved in since the last call, and whether some may be missing."""
        if self._watch is None:
            return [], False
        closes, missed_some = self._watch.drain(), False
        if trouble := self._watch.trouble:
            self._events.add(f"watch_{trouble}", "events may be missing: scanned at once")
            self._start_watch()  # the scan adds the sub-folders
            return closes, True
        for prefix in self._watch.lost():
            # A camera may remove its folder at any time. Another one in its place has files already.
            if self._add_to_watch(prefix) or not prefix:
                about = f"{prefix} " if prefix else ""
                self._events.add("watch_lost", f"{about}events may be missing: scanned at once")
                missed_some = True
        return closes, missed_some

    def _names_in(self, folder: str) -> Iterator[str]:
        """List a sub-folder, which is watched first; one that has just been removed has no names."""
        prefix = f"{folder}/"
        if not self._watches(prefix):
            self._add_to_watch(prefix)
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

    def _start_watch(self) -> None:
        """Start a new watch, of the folder alone; the next scan adds its sub-folders."""
        self._stop_watch()
        try:
            self._watch = Watch(self._wake, wall_us=self._wall_us, monotonic=self._monotonic)
        except OSError as error:
            self._report_no_watch(error)
        self._add_to_watch("")

    def _stop_watch(self) -> None:
        if self._watch:
            self._watch.close()
            self._watch = None

    def _watches(self, prefix: str) -> bool:
        return self._watch is not None and self._watch.is_watching(prefix)

    def _add_to_watch(self, prefix: str) -> bool:
        """Watch the folder or a sub-folder too; return whether that worked. Without it, scans find files."""
        if self._watch is None or self._watch.trouble or self._is_watch_refused:
            return False
        try:
            self._watch.add(self.path / prefix, prefix)
        except (FileNotFoundError, NotADirectoryError, PermissionError):  # the scan reports such a folder
            return False
        except OSError as error:
            self._report_no_watch(error)
            return False
        return True

    def _report_no_watch(self, error: OSError) -> None:
        """Report a refusal once, and ask no more before the next scan: there may be thousands of folders."""
        self._is_watch_refused = True
        self._report_once("no_watch", f"only scans find the new files of some folders: {why_not(error)}")

    def _report_unreadable(self, subfolders: list[str]) -> None:
        """Report sub-folders that this account may not list; their files wait."""
        if not subfolders:
            self.troubles.pop("subfolder_unreadable", None)
            return
        first, others = to_text(PurePath(subfolders[0])), len(subfolders) - 1
        more = f" and {others} more" if others else ""
        self._report_once(
            "subfolder_unreadable",
            f"{first}{more} cannot be listed: give the service's account the right to read and enter it",
        )

    def _report_once(self, kind: str, detail: str) -> None:
        if kind not in self.troubles:
            self._events.add(kind, detail)
        self.troubles[kind] = detail
