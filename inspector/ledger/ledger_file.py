"""The SQLite file of an engine, and whether it is still the file that was opened.

SQLite itself goes on with a file that has been deleted or replaced: its rows cannot be read again. It goes on
with a file that a restore has overwritten in place, too: pages that it keeps in memory and in the ``-wal``
file are mixed with those of the backup. So the file is known in two ways.

- **By device and inode**: another file at the path, or none, is an outage.
- **By size, modification time and newest rows**: commits write to the ``-wal`` file alone, and a checkpoint
  of any program only adds rows to the file itself. So if the file was written to, and no longer has the rows
  that were in it, it was overwritten. Newer rows may be missing, since a checkpoint leaves out the pages that
  a reader still needs as they were; the ``-wal`` file has them. A checkpoint that met a full disk leaves a
  file that cannot be read by itself: the newest rows of a table are in its last page, which a page that was
  written already may name. That is no overwriting, and the next checkpoint completes it.

The ``-wal`` file, too, is the one that a connection saw: it lasts as long as the connection.
"""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from types import ModuleType
from typing import Any, Final
from urllib.parse import quote

import sqlalchemy as sa

from inspector.errors import StoreUnavailable
from inspector.ledger.schema import metadata

_MAX_CHECKPOINT_S: Final = 2.0  # another program's: the file is half written meanwhile, mostly for some ms
_POLL_S: Final = 0.05
_HALF_WRITTEN: Final = ("malformed", "disk I/O error")  # in SQLite's messages
_CHECKPOINT_EVERY_S: Final = 1.0  # a copy that is older is noticed; some ms of writing
_WAL: Final = "wal"  # keys of a connection's info
_COMMITTED: Final = "committed"
_NEWEST = [
    sa.select(sa.func.coalesce(sa.func.max(table.c.id), sa.literal_column("0"))).scalar_subquery()
    for table in metadata.tables.values()
]
_NEWEST_ROWS: Final = str(sa.select(*_NEWEST))

_NO_ROWS: Final = (0,) * len(_NEWEST)


class LedgerFile:
    """The file of an engine, from its first connection on.

    Args:
        path: the file.
        library: the SQLite library that the engine uses.
        immutable: whether SQLite reads it without its ``-wal`` file, for a reader who cannot create one.
    """

    def __init__(self, path: Path, library: ModuleType, *, immutable: bool) -> None:
        self._path = path
        self._library = library
        self._immutable = immutable
        self._opened: tuple[int, int] | None = None
        self._stamp: tuple[int, int] | None = None  # size and modification time in ns, as seen last
        self._rows = _NO_ROWS  # the newest of each table that the file itself had at that time
        self._is_overwritten = False
        self._next_checkpoint = 0.0  # monotonic seconds; at once, so that crash after crash checkpoints, too

    def connect(self, dialect: sa.Dialect, _record: Any, words: Any, named: Any) -> Any:
        """Connect, and make sure which file was opened: it was there before and is there afterwards.

        Raises:
            StoreUnavailable: it is another file than that of the first connection.
        """
        self.require()  # to open another file beside the old one's -wal could destroy it
        before = _identity(self._path)
        connection = dialect.connect(*words, **named)
        opened = _identity(self._path)
        if opened is None or before not in (None, opened) or self._opened not in (None, opened):
            connection.close()
            raise self._gone("deleted or replaced")
        self._opened = opened
        return connection

    def require(self) -> None:
        """Refuse to go on if the path names another file, or none, or one that was overwritten.

        Raises:
            StoreUnavailable: the file was deleted, replaced or overwritten, or a program writes to it that
                was not there before.
        """
        if self._opened is not None and _identity(self._path) != self._opened:
            raise self._gone("deleted or replaced")
        if self._is_overwritten:
            if not self._has_rows(self._rows_on_disk() or _NO_ROWS):
                raise self._gone("overwritten")
            self._is_overwritten = False
        if self._immutable and wal(self._path).exists():
            raise StoreUnavailable(f"{self._path}: a station has begun to write to it; run the command again")

    def give_up(self) -> None:
        """Refuse the file from now on, since rows that were written are not in it."""
        self._rows, self._is_overwritten = (1 << 63,) * len(_NEWEST), True

    # --- a writer's transaction; the writers of an engine share one connection ------------------------

    def begin(self, connection: sa.Connection) -> None:
        """Compare the file with what was seen of it last; call it when the write lock is held.

        Raises:
            StoreUnavailable: the file was overwritten.
        """
        self.require()
        seen = connection.info.get(_WAL)
        if seen is not None and _identity(wal(self._path)) != seen:
            self.give_up()
            raise self._gone("left without its -wal file")
        if not self._is_right():
            raise self._gone("overwritten")

    @staticmethod
    def before_commit(connection: sa.Connection) -> None:
        """Note that a transaction of our own was committed, not rolled back."""
        connection.info[_COMMITTED] = is_writer(connection)

    def after_commit(self, connection: Any, record: Any) -> None:
        """Compare the file again, and now and then write the commits of the ``-wal`` file into it.

        If it was overwritten during the transaction, :meth:`require` refuses it from now on.
        """
        if not record.info.pop(_COMMITTED, False):
            return
        record.info[_WAL] = _identity(wal(self._path))
        if not self._is_right():
            return
        if time.monotonic() >= self._next_checkpoint:
            with contextlib.suppress(self._library.Error):  # all commits are in the -wal file
                connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
            self._next_checkpoint = time.monotonic() + _CHECKPOINT_EVERY_S
            self._stamp, self._rows = _stamp(self._path), self._rows_on_disk() or self._rows

    def _is_right(self) -> bool:
        """Return whether the file is as it was, or still has the rows that it had; note its state."""
        stamp = _stamp(self._path)  # before its rows: they may be more a moment later
        if stamp == self._stamp:
            return True
        until = time.monotonic() + _MAX_CHECKPOINT_S
        while (rows := self._rows_on_disk()) is None or not self._has_rows(rows):
            if time.monotonic() > until:
                break
            time.sleep(_POLL_S)
        if rows is None:
            self._stamp = stamp  # half written for good; it must have the same rows as before later
            return True
        self._is_overwritten = not self._has_rows(rows)
        if not self._is_overwritten:
            self._stamp, self._rows = stamp, rows
        return not self._is_overwritten

    # --- the file -------------------------------------------------------------------------------------

    def _has_rows(self, rows: tuple[int, ...]) -> bool:
        """Return whether these rows are at least those that the file had."""
        return all(number >= least for number, least in zip(rows, self._rows, strict=True))

    def _rows_on_disk(self) -> tuple[int, ...] | None:
        """Return the newest row of each table in the file itself, without its ``-wal``.

        All are 0 if it has no schema or another one, or is no database; None if it is half written. SQLite
        keeps its locks when it closes a second connection to a file of the same process.
        """
        try:
            with contextlib.closing(
                self._library.connect(f"file:{quote(str(self._path))}?mode=ro&immutable=1", uri=True)
            ) as disk:
                return tuple(disk.execute(_NEWEST_ROWS).fetchone())
        except self._library.Error as error:
            return None if any(words in str(error) for words in _HALF_WRITTEN) else _NO_ROWS

    def _gone(self, how: str) -> StoreUnavailable:
        return StoreUnavailable(
            f"{self._path}: the database file was {how} while it was open; put the old one "
            f"back, or stop the service, remove {wal(self._path).name}, put the right file there and "
            "start again"
        )


def _stamp(path: Path) -> tuple[int, int] | None:
    """Return size and modification time in ns of a file; None if it is not there."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


def _identity(path: Path) -> tuple[int, int] | None:
    """Return device and inode of a file; None if it is not there."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def is_writer(connection: sa.Connection) -> bool:
    """Return whether the connection's transactions take the write lock at BEGIN."""
    return connection.get_execution_options().get("sqlite_begin") == "IMMEDIATE"


def wal(file: Path) -> Path:
    """Return the path of the file that holds the latest commits."""
    return file.with_name(f"{file.name}-wal")
