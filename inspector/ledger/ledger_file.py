"""The SQLite file of an engine, and whether it is still the file that was opened.

SQLite itself goes on with a file that has been deleted or replaced: its rows cannot be read again. It goes on
with a file that a restore has overwritten in place, too: pages that it keeps in memory and in the ``-wal``
file are mixed with those of the backup. So the file is known in two ways.

- **By device and inode**: another file at the path, or none, is an outage.
- **By size and modification time**: our commits write to the ``-wal`` file alone, and our checkpoints follow
  a commit in one place. ``PRAGMA data_version`` shows the commits of other programs, which may call a
  checkpoint. If the file was written to without either, somebody called a checkpoint by hand, or overwrote
  the file. In the first case the file itself, read without its ``-wal``, has all rows.

The ``-wal`` file, too, is the one that a connection saw: it lasts as long as the connection.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any, Final
from urllib.parse import quote

import sqlalchemy as sa

from inspector.errors import StoreUnavailable
from inspector.ledger.schema import metadata

_MAX_CHECKPOINT_S: Final = 10.0  # another program's checkpoint after its commit takes milliseconds
_COMMITS_PER_CHECKPOINT: Final = 50  # some 1,000 pages, SQLite's own default
_SEEN: Final = "seen"  # keys of a connection's info
_COMMITTED: Final = "committed"
_NEWEST = [
    sa.select(sa.func.coalesce(sa.func.max(table.c.id), sa.literal_column("0"))).scalar_subquery()
    for table in metadata.tables.values()
]
_NEWEST_ROWS: Final = str(sa.select(*_NEWEST))

Stamp = tuple[int, int]  # size, modification time in ns


@dataclass(frozen=True, slots=True)
class _Seen:
    """The file as the writers' connection saw it last."""

    stamp: Stamp | None  # None while another program may be at a checkpoint
    data_version: int
    since: float  # monotonic seconds, of this data_version
    newest: tuple[int, ...]  # rows at the last BEGIN
    wal: tuple[int, int] | None = None  # device and inode of the -wal file after our own commit


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
        self._needed: tuple[int, ...] | None = None  # rows that an overwritten file lacks
        self._right: Stamp | None = None  # of that file before it was overwritten
        self._unwritten = _COMMITS_PER_CHECKPOINT  # commits; full, so that crash after crash checkpoints, too

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
        if self._needed is not None:
            if self._stamp() != self._right and not self._has_rows(self._needed):
                raise self._gone("overwritten")
            self._needed = None
        if self._immutable and wal(self._path).exists():
            raise StoreUnavailable(f"{self._path}: a station has begun to write to it; run the command again")

    def give_up(self) -> None:
        """Refuse the file from now on, since rows that were written are not in it."""
        self._needed, self._right = (1 << 63,) * len(metadata.tables), None

    # --- a writer's transaction; the writers of an engine share one connection ------------------------

    def begin(self, connection: sa.Connection) -> None:
        """Compare the file with what was seen of it last; call it when the write lock is held.

        Raises:
            StoreUnavailable: the file was overwritten.
        """
        self.require()
        stamp = self._stamp()  # before the version: a commit comes before its checkpoint
        version = int(connection.exec_driver_sql("PRAGMA data_version").scalar_one())
        now, newest, info = time.monotonic(), self._newest_rows(connection), connection.info
        seen: _Seen | None = info.get(_SEEN)
        if seen is not None and seen.wal is not None and _identity(wal(self._path)) != seen.wal:
            self.give_up()
            raise self._gone("left without its -wal file")
        if seen is None:
            info[_SEEN] = _Seen(stamp, version, now, newest)
        elif version != seen.data_version:
            info[_SEEN] = _Seen(None, version, now, newest, seen.wal)
        elif seen.stamp is None:
            is_over = now - seen.since > _MAX_CHECKPOINT_S
            info[_SEEN] = replace(seen, stamp=stamp if is_over else None, newest=newest)
        elif self._is_overwritten(stamp, seen.stamp, newest):
            raise self._gone("overwritten")
        else:
            info[_SEEN] = replace(seen, stamp=stamp, newest=newest)

    @staticmethod
    def before_commit(connection: sa.Connection) -> None:
        """Note that a transaction of our own was committed, not rolled back."""
        connection.info[_COMMITTED] = is_writer(connection)

    def after_commit(self, connection: Any, record: Any) -> None:
        """Compare the file again, and now and then write the commits of the ``-wal`` file into it.

        If it was overwritten during the transaction, :meth:`require` refuses it from now on.
        """
        seen: _Seen | None = record.info.get(_SEEN)
        if not record.info.pop(_COMMITTED, False) or seen is None:
            return
        stamp = seen.stamp and self._stamp()
        if seen.stamp is not None and self._is_overwritten(stamp, seen.stamp, seen.newest):
            return
        self._unwritten += 1
        if self._unwritten > _COMMITS_PER_CHECKPOINT:
            with contextlib.suppress(self._library.Error):  # all commits are in the -wal file
                connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
            self._unwritten, stamp = 0, seen.stamp and self._stamp()
        record.info[_SEEN] = replace(seen, stamp=stamp, wal=_identity(wal(self._path)))

    def _is_overwritten(self, stamp: Stamp | None, seen: Stamp, needed: tuple[int, ...]) -> bool:
        """Return whether the file has changed and lacks rows, and note which."""
        if stamp == seen or self._has_rows(needed):
            return False
        self._needed, self._right = needed, seen
        return True

    # --- the file -------------------------------------------------------------------------------------

    def _newest_rows(self, connection: sa.Connection) -> tuple[int, ...]:
        """Return the newest row of each table; 0 if there is no schema, or an older one."""
        driver: Any = connection.connection.dbapi_connection  # SQLAlchemy would roll back after an error
        try:
            return tuple(driver.execute(_NEWEST_ROWS).fetchone())
        except self._library.Error:
            return (0,) * len(metadata.tables)

    def _has_rows(self, needed: tuple[int, ...]) -> bool:
        """Return whether the file itself, without its ``-wal``, has rows with at least these numbers.

        SQLite keeps its locks when it closes a second connection to a file of the same process.
        """
        try:
            disk = self._library.connect(f"file:{quote(str(self._path))}?mode=ro&immutable=1", uri=True)
        except self._library.Error:
            return False
        try:
            newest = disk.execute(_NEWEST_ROWS).fetchone()
        except self._library.Error:  # half written
            return False
        finally:
            disk.close()
        return all(number >= least for number, least in zip(newest, needed, strict=True))

    def _stamp(self) -> Stamp | None:
        try:
            status = self._path.stat()
        except OSError:
            return None
        return status.st_size, status.st_mtime_ns

    def _gone(self, how: str) -> StoreUnavailable:
        return StoreUnavailable(
            f"{self._path}: the database file was {how} while it was open; put the old one "
            f"back, or stop the service, remove {wal(self._path).name}, put the right file there and "
            "start again"
        )


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
