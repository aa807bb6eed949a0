"""When a file in the drop folder is ready to be read.

A file whose name ends like an image is *ready* at once when its close was seen or when it came in by a rename
(:meth:`WaitingFile.closed`). Otherwise its size, mtime, ctime, blocks and inode must not change for
``settle_s`` on the monotonic clock (:meth:`WaitingFile.is_settled`). Other names wait for ``give_up_s``:
an uploader may be about to rename them. A copy may keep an old mtime, and a file may be pre-allocated, but
ctime and blocks show each write. A file whose ctime is over a minute old when it is first seen is ready
without waiting (:attr:`WaitingFile.is_old`), so that a backlog starts at once: the kernel sets ctime at
each write, and no copy can keep an old one. The minute allows for a file server's clock.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import Enum
from typing import Final, Self

from inspector.records import FileStamp
from inspector.station.watch import Close

_OLD_S: Final = 60.0  # unchanged this long by ctime: no writer is at work (module docstring)


class State(Enum):
    """Where a file of the drop folder is on its way to a reader."""

    WAITING = 1
    READY = 2
    TAKEN = 3


@dataclass(slots=True)
class WaitingFile:
    """A file in the drop folder, and what is known of its writer."""

    seen_us: int  # UTC epoch microseconds of its close or, if none was seen, of first sight
    seen_monotonic: float  # the same instant
    changed: float  # monotonic seconds of the last change that was noticed
    stamp: tuple[int, ...]
    order: float  # its place in the queue: as seen_monotonic, but earlier for files past those known by name
    state: State = State.WAITING
    has_unread_close: bool = False  # its writer closed it, and it was not read since
    is_read: bool = False  # it was read and put back, and its writer did not close it since
    close: Close | None = None  # the last close that came while it was taken
    closes_while_taken: int = 0
    has_slow_writer: bool = False  # an event has said so
    failures: int = 0  # times that it could not be moved, or not read for the station's own trouble

    @classmethod
    def at_first_sight(cls, status: os.stat_result, seen_us: int, seen: float, order: float) -> Self:
        """A file that is new to the station; an old one counts as unchanged since its ctime."""
        age_s = seen_us / 1e6 - status.st_ctime_ns / 1e9
        return cls(seen_us, seen, seen - age_s if age_s > _OLD_S else seen, _stamp(status), order)

    @property
    def is_old(self) -> bool:
        """Whether no writer can be at work on a file that has just been seen for the first time."""
        return self.seen_monotonic - self.changed > _OLD_S

    @property
    def mtime_ns(self) -> int:
        """When it was modified, by its own account."""
        return self.stamp[2]

    def closed(self, close: Close) -> None:
        """Count from this close, which makes the file whole."""
        self.seen_us, self.seen_monotonic, self.order = close.us, close.monotonic, close.monotonic

    def closed_while_taken(self, close: Close) -> None:
        """Keep a close until the reader is done with the file."""
        self.close = close
        self.closes_while_taken += 1

    def is_replaced_by(self, close: Close, status: os.stat_result | None) -> bool:
        """Whether a close of a waiting file replaced one that was whole, and that was not read.

        It was whole if its writer had closed it, if it is another file by its inode, or if it had not changed
        for a minute. Otherwise this may be the first close of a slow writer. An empty file is no image.
        """
        inode, size, *_ = self.stamp
        is_other = status is not None and status.st_ino != inode
        is_old = close.monotonic - self.changed > _OLD_S
        return size > 0 and (self.has_unread_close or (not self.is_read and (is_other or is_old)))

    def replaced_before_retry(self, read: FileStamp | None) -> int:
        """Return how many files under this name were replaced unread, now that one could not be read yet.

        The newest one waits. If the bytes that were read are another file's, or were written over, then the
        reading met a newer file. A larger file may be the rest of a slow writer's.

        Args:
            read: the file as it was when it could not be read; None if that is not known.
        """
        inode, size, mtime_ns, *_ = self.stamp
        is_newer = read is not None and (
            read.inode != inode or read.size < size or (read.size == size and read.mtime_ns != mtime_ns)
        )
        if size > 0 and self.has_unread_close and is_newer:
            return max(self.closes_while_taken, 1)
        return max(self.closes_while_taken - 1, 0)

    def put_back(self) -> Close | None:
        """Let a file that was read wait again; return the last close that came meanwhile."""
        close, self.close = self.close, None
        self.has_unread_close, self.is_read = close is not None, close is None
        self.closes_while_taken = 0
        return close

    def replaced_before_reading(self, read: FileStamp, *, is_there_again: bool) -> int:
        """Return how many files under this name were replaced unread, now that one of them has moved away.

        Each close while it was taken made a newer file; only the first close may be that of the taken file
        itself. One of these files was read. If the name is there again, the newest one still waits. If it is
        gone, the newest one was read, unless nothing has changed: then the closes wrote nothing (``touch``).

        Args:
            read: the file as it was read.
            is_there_again: whether a file has the name again.
        """
        inode, size, mtime_ns, *_ = self.stamp
        is_closed = size > 0 and self.has_unread_close
        is_other = (read.inode, read.size) != (inode, size)
        was_whole = is_closed or (not self.is_read and (self.is_old or read.inode != inode))
        newer = self.closes_while_taken - (not was_whole)
        if is_there_again:
            return max(newer - 1, 0)
        if is_closed and is_other:
            return max(newer, 1)  # the watch may report the close a little late
        return max(newer, 0) if is_other or read.mtime_ns != mtime_ns else 0

    def notice(self, status: os.stat_result, now: float) -> None:
        """Compare with what was seen before, and keep the time of a change."""
        stamp = _stamp(status)
        if stamp != self.stamp:
            self.stamp, self.changed = stamp, now

    def settles_at(self, settle_s: float) -> float:
        """When (monotonic) the file is ready if it does not change again."""
        return self.changed + settle_s

    def is_settled(self, now: float, settle_s: float) -> bool:
        """Whether the file has not changed for ``settle_s``."""
        return self.settles_at(settle_s) <= now  # the very sum that was due: a difference may round short

    def is_given_up(self, now: float, give_up_s: float) -> bool:
        """Whether an unreadable file has had the time that a slow writer gets."""
        return now - self.changed >= give_up_s

    def is_slow(self, now: float, give_up_s: float) -> bool:
        """Whether a writer has been at work on the file for longer than ``give_up_s``."""
        return now - self.seen_monotonic > give_up_s > now - self.changed


def _stamp(status: os.stat_result) -> tuple[int, ...]:
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_blocks
