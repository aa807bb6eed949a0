"""SQLite for the ledger: WAL mode, ``synchronous=FULL``, and a file that is known by device and inode.

A commit survives a power cut. Readers open the file read-only. A fixed SQLite library is taken if one is
installed. An engine works only on the file that its first connection opened, see
:mod:`inspector.ledger.ledger_file`.
"""

from __future__ import annotations

import logging
import os
import sqlite3
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy.engine import URL
from tenacity import Retrying, retry_if_exception_message, stop_after_delay, wait_random

from inspector import filesystems
from inspector.errors import SchemaError, UsageError
from inspector.ledger.ledger_file import LedgerFile, is_writer, wal

log = logging.getLogger("weldnet")

RUN_MIGRATE = "run 'weld-inspect migrate --config F'"
_BUSY_TIMEOUT_S = 30  # another writer's commit lasts milliseconds; longer than this is an outage

_until_unlocked = Retrying(
    retry=retry_if_exception_message("database is locked"),
    wait=wait_random(0, 0.05),  # s: the other is done within milliseconds
    stop=stop_after_delay(_BUSY_TIMEOUT_S),
    reraise=True,
)


def driver() -> ModuleType:
    """Return ``pysqlite3`` if it is installed (it brings a fixed SQLite), else the standard library's."""
    try:
        return import_module("pysqlite3.dbapi2")
    except ImportError:
        return sqlite3


def has_wal_reset_bug(version: tuple[int, ...]) -> bool:
    """Return whether this SQLite can corrupt a WAL database that two connections hold open.

    Source: sqlite.org/wal.html, "The WAL-reset bug": fixed in 3.51.3, and in 3.50.7 and 3.44.6.
    """
    backported = {50: 7, 44: 6}
    return version < (3, 51, 3) and version[2] < backported.get(version[1], 1 << 30)


def engine(url: URL, *, read_only: bool, create: bool) -> sa.Engine:
    """Return an engine for readers, whose transactions begin with our own BEGIN, DDL included.

    Its execution option ``writers`` is the engine for writers, ``require_ledger`` a function that raises if
    the file is no longer the one that was opened, and ``give_up`` one after which the other always raises.

    Raises:
        SchemaError: the file is missing and not to be created.
        UsageError: the file or its folder cannot be used by this user, or is on a network file system.
    """
    file = Path(url.database or "")
    _refuse_unusable(file, read_only=read_only, create=create)
    library = driver()
    if has_wal_reset_bug(library.sqlite_version_info):
        log.warning(
            "SQLite %s has the WAL-reset bug, a rare corruption: pip install pysqlite3",
            library.sqlite_version,
        )
    mode = "ro" if read_only else "rwc" if create else "rw"
    query = {"timeout": str(_BUSY_TIMEOUT_S), **url.query, "mode": mode, "uri": "true"}
    # In WAL mode a reader, too, creates files beside the database unless a writer has them open.
    immutable = read_only and not os.access(file.parent, os.W_OK) and not wal(file).exists()
    if immutable:
        query["immutable"] = "1"
    source = url.set(database=f"file:{quote(str(file))}", query=query)
    ledger = LedgerFile(file, library, immutable=immutable)
    options = {"require_ledger": ledger.require, "give_up": ledger.give_up}
    readers = sa.create_engine(source, module=library, execution_options=options)
    # One connection for all writers: between a check of the file and its checkpoint no other thread begins.
    writers = sa.create_engine(
        source,
        module=library,
        execution_options=options | {"sqlite_begin": "IMMEDIATE"},
        pool_size=1,
        max_overflow=0,
    )
    for engine in (readers, writers):
        engine.url = url.set(database=str(file))  # what messages show
        _listen(engine, ledger, read_only=read_only)
    readers.update_execution_options(writers=writers)
    sa.event.listen(readers, "engine_disposed", lambda _: writers.dispose())
    return readers


def _listen(engine: sa.Engine, ledger: LedgerFile, *, read_only: bool) -> None:
    sa.event.listen(engine, "do_connect", ledger.connect)

    @sa.event.listens_for(engine, "connect")
    def _on_connect(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # the driver leaves BEGIN to us, DDL included
        for pragma in ("foreign_keys=ON", "synchronous=FULL"):
            connection.execute(f"PRAGMA {pragma}")
        if not read_only:
            # If two programs open a fresh file at once, SQLite refuses one of them without waiting.
            _until_unlocked(connection.execute, "PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA wal_autocheckpoint=0")  # the ledger file does it, after a check

    @sa.event.listens_for(engine, "begin")
    def _on_begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if is_writer(connection) else "BEGIN DEFERRED")
        if is_writer(connection):
            ledger.begin(connection)

    sa.event.listen(engine, "commit", ledger.before_commit)
    sa.event.listen(engine, "checkin", ledger.after_commit)


def _refuse_unusable(file: Path, *, read_only: bool, create: bool) -> None:
    kind = filesystems.file_system(file.parent)
    if kind in filesystems.NETWORK:
        raise UsageError(
            f"{file} is on {kind}: SQLite loses data on network file systems; "
            "put it on a local disk, or use PostgreSQL"
        )
    if not file.parent.is_dir():
        raise UsageError(f"{file}: its folder is missing; create it or change database_url")
    if not os.access(file.parent, os.X_OK if read_only else os.W_OK | os.X_OK):
        raise UsageError(f"{file}: this user may not use its folder; change the owner or database_url")
    if not create and not file.exists():
        raise SchemaError(f"{file}: there is no database yet; {RUN_MIGRATE}")
    if file.exists() and not os.access(file, os.R_OK if read_only else os.W_OK):
        raise UsageError(f"{file}: this user may not use this file; change its owner or database_url")
