"""Engines for SQLite and PostgreSQL that behave alike: one transaction model, one set of errors.

SQLite runs in WAL mode with ``synchronous=FULL``, so that a commit survives a power cut. Readers open the
file read-only. If ``pysqlite3`` is installed, its fixed SQLite library is used. On PostgreSQL every wait that
could last without end has a timeout.
"""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib import import_module
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy.engine import URL, make_url
from tenacity import Retrying, retry_if_exception_message, stop_after_delay, wait_random

from inspector import filesystems, resources
from inspector.errors import (
    RowRefused,
    SchemaError,
    StationError,
    StoreRefused,
    StoreUnavailable,
    UsageError,
)

if TYPE_CHECKING:
    from alembic.config import Config

T = TypeVar("T")

log = logging.getLogger("weldnet")

# Rows that one query names. Two bound parameters for each are far below either back end's limit, and one
# transaction that adds a row for each takes tens of milliseconds, which the daemon's next commit can wait.
MAX_IDS_PER_QUERY = 500
_BUSY_TIMEOUT_S = 30  # another writer's commit lasts milliseconds; longer than this is an outage
_PG_DEFAULTS: dict[str, str] = {  # each can be set in the URL's query instead
    "connect_timeout": "5",  # s: the status must name an outage within 10 s
    "tcp_user_timeout": "30000",  # ms: a server that disappeared without closing the connection
    "application_name": "weldnet-station",
}
_PG_WRITE_TIMEOUT_MS = 30_000  # a batch takes milliseconds; longer than this is an outage
_PG_READ_TIMEOUT_MS = 300_000  # a report over several years may take minutes
_PG_READER_SETTINGS = (
    "default_transaction_read_only=on",
    "work_mem=64MB",  # sorts a month's percentiles in memory; the default of 4 MB sorts them on disk
    "random_page_cost=1.1",  # for an SSD; with the default of 4 it reads five million rows, not an index
)
# Messages of libpq and the server about a connection that fails until a person changes something. They come
# without an error code. If the server uses another language (lc_messages), the error counts as an outage.
_PG_REFUSALS = (
    "password authentication failed",
    "no password supplied",
    "authentication failed for user",  # peer, ident, certificate
    "does not exist",  # role, database, a certificate's file
    "no pg_hba.conf entry",
    "pg_hba.conf rejects",
    "is not permitted to log in",
    "permission denied for database",
    "certificate",  # not verified, of another host, private key does not match
    "server does not support SSL",
    "invalid sslmode",
    "invalid port number",
    "invalid integer value",
    "unrecognized configuration parameter",
)
_FIX_ACCESS = "correct database_url, the password or the server's roles"
_RUN_MIGRATE = "run 'weld-inspect migrate --config F'"


def engine(url: URL | str, *, read_only: bool = False, create: bool = False) -> sa.Engine:
    """Return an engine for either back end; it connects when it is first used.

    Args:
        url: ``sqlite:///FILE`` or ``postgresql+psycopg://USER@HOST/DATABASE``.
        read_only: transactions cannot write; SQLite opens the file with ``mode=ro``.
        create: create the SQLite file if it is missing.

    Raises:
        SchemaError: the SQLite file is missing, and ``create`` is False.
        UsageError: the driver is not installed, or the file's folder is missing or on a network file system.
    """
    url = make_url(url)
    if url.get_backend_name() == "sqlite":
        return _sqlite(url, read_only=read_only, create=create)
    return _postgresql(url, read_only=read_only)


@contextmanager
def reading(url: URL | str) -> Iterator[sa.Engine]:
    """Provide a read-only engine, and close it at the end; errors as in :func:`engine`."""
    opened = engine(url, read_only=True)
    try:
        yield opened
    finally:
        opened.dispose()


def batches(items: Iterable[T]) -> Iterator[list[T]]:
    """Split items into lists of at most ``MAX_IDS_PER_QUERY``, in order."""
    iterator = iter(items)
    while batch := list(islice(iterator, MAX_IDS_PER_QUERY)):
        yield batch


def display(url: URL | str) -> str:
    """Return the URL as messages may show it: without a password, also in its query."""
    url = make_url(url)
    if url.get_backend_name() == "sqlite":
        return str(url.database)
    return url.set(query={}).render_as_string(hide_password=True)


def immediate(engine: sa.Engine) -> sa.Engine:
    """Return the same engine for writers: SQLite takes the write lock at BEGIN.

    Without this, a transaction that reads before it writes can fail with ``database is locked`` at once: its
    snapshot may be old by then, and SQLite does not wait in that case.
    """
    return engine.execution_options(sqlite_begin="IMMEDIATE")


@contextmanager
def transaction(engine: sa.Engine) -> Iterator[sa.Connection]:
    """Commit or roll back, and turn an error of the database into one line of our own error tree.

    Raises:
        StoreUnavailable: an outage: no answer, locked, out of space, timeout, dead connection.
        StoreRefused: the server refuses this user, password or database, or a right is missing.
        SchemaError: tables are missing or have another shape, or the file is no database.
        UsageError: the URL asks for something that the driver does not know.
    """
    try:
        with engine.begin() as connection:
            yield connection
    except sa.exc.DBAPIError as error:
        translated = _translate(engine.url, error)
        if translated is None:
            raise
        raise translated from error
    except sa.exc.TimeoutError as error:
        raise StoreUnavailable(f"{display(engine.url)}: no free connection: {error}") from error


def _translate(url: URL, error: sa.exc.DBAPIError) -> StationError | None:
    """Return our error for the driver's error; None if it can only be a mistake in this program."""
    message = " ".join(str(error.orig).split())
    where = display(url)
    outages = (sa.exc.OperationalError, sa.exc.InterfaceError, sa.exc.InternalError)
    if isinstance(error, sa.exc.IntegrityError | sa.exc.DataError):  # also a shop's own constraint or trigger
        return RowRefused(f"{where}: the database refuses a row: {message}")
    if problem := _schema_error(message, _sqlstate(error)):
        return SchemaError(f"{where}: {problem}")
    if _sqlstate(error) == "42501":  # insufficient_privilege
        return StoreRefused(f"{where}: the database refuses: {message}; run roles.sql as the tables' owner")
    if error.statement is None and any(refusal in message for refusal in _PG_REFUSALS):  # no connection yet
        return StoreRefused(f"{where}: the database refuses: {message}; {_FIX_ACCESS}")
    if isinstance(error, outages) or error.connection_invalidated:
        return StoreUnavailable(f"{where}: database outage: {message}")
    unclear = f"{where}: the database refuses: {message}; check database_url and the user's rights"
    return UsageError(unclear) if isinstance(error, sa.exc.ProgrammingError) else None


def _schema_error(message: str, sqlstate: str | None) -> str | None:
    """Return what is wrong with the tables; None if the driver's message is about something else."""
    if message.startswith("no such") or "UndefinedTable" in message or sqlstate in ("42P01", "42703"):
        return f"lacks a table or column of this program ({message}); {_RUN_MIGRATE}"
    if "already exists" in message:
        return f"holds tables that this program did not make ({message}); use another database"
    if "not a database" in message or "malformed" in message:
        return f"is not a sound SQLite database ({message}); restore it or name another file"
    return None


def _sqlstate(error: sa.exc.DBAPIError) -> str | None:
    return getattr(error.orig, "sqlstate", None)


# --- SQLite --------------------------------------------------------------------------------------------


def sqlite_driver() -> ModuleType:
    """Return ``pysqlite3`` with its fixed SQLite if it is installed, else the standard library's module."""
    try:
        return import_module("pysqlite3.dbapi2")
    except ImportError:
        return sqlite3


def wal_reset_bug(version: tuple[int, ...]) -> bool:
    """Return whether this SQLite can corrupt a WAL database that two connections hold open.

    Source: sqlite.org/wal.html, "The WAL-reset bug": fixed in 3.51.3, and in 3.50.7 and 3.44.6.
    """
    backported = {50: 7, 44: 6}
    return version < (3, 51, 3) and version[2] < backported.get(version[1], 1 << 30)


def _sqlite(url: URL, *, read_only: bool, create: bool) -> sa.Engine:
    file = Path(url.database or "")
    kind = filesystems.file_system(file.parent)
    if kind in filesystems.NETWORK:
        raise UsageError(
            f"{file} is on {kind}: SQLite loses data on network file systems; "
            "put it on a local disk, or use PostgreSQL"
        )
    if create and not file.parent.is_dir():
        raise UsageError(
            f"{file}: cannot be created, its folder is missing; create it or change database_url"
        )
    if not os.access(file.parent, os.X_OK if read_only else os.W_OK | os.X_OK):
        raise UsageError(f"{file}: this user may not use its folder; change the owner or database_url")
    if not create and not file.exists():
        raise SchemaError(f"{file}: there is no database yet; {_RUN_MIGRATE}")
    if file.exists() and not os.access(file, os.R_OK if read_only else os.W_OK):
        raise UsageError(f"{file}: this user may not use this file; change its owner or database_url")
    driver = sqlite_driver()
    if wal_reset_bug(driver.sqlite_version_info):
        log.warning(
            "SQLite %s has the WAL-reset bug, a rare corruption: pip install pysqlite3", driver.sqlite_version
        )
    mode = "ro" if read_only else "rwc" if create else "rw"
    query = {"timeout": str(_BUSY_TIMEOUT_S), **url.query, "mode": mode, "uri": "true"}
    engine = sa.create_engine(url.set(database=f"file:{quote(str(file))}", query=query), module=driver)
    engine.url = url.set(database=str(file))  # for messages

    @sa.event.listens_for(engine, "connect")
    def _on_connect(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # the driver leaves every BEGIN to us, that of DDL too
        for pragma in ("foreign_keys=ON", "synchronous=FULL"):
            connection.execute(f"PRAGMA {pragma}")
        if not read_only:
            # If two programs open a new file at once, SQLite refuses one of them without waiting.
            _until_unlocked(connection.execute, "PRAGMA journal_mode=WAL")

    @sa.event.listens_for(engine, "begin")
    def _on_begin(connection: sa.Connection) -> None:
        mode = connection.get_execution_options().get("sqlite_begin", "DEFERRED")
        connection.exec_driver_sql(f"BEGIN {mode}")

    return engine


_until_unlocked = Retrying(
    retry=retry_if_exception_message("database is locked"),
    wait=wait_random(0, 0.05),  # s: the other program is done within milliseconds
    stop=stop_after_delay(_BUSY_TIMEOUT_S),
    reraise=True,
)


# --- PostgreSQL ----------------------------------------------------------------------------------------


def _postgresql(url: URL, *, read_only: bool) -> sa.Engine:
    timeout = _PG_READ_TIMEOUT_MS if read_only else _PG_WRITE_TIMEOUT_MS
    in_force = (f"statement_timeout={timeout}", *(_PG_READER_SETTINGS if read_only else ()))
    options = " ".join(f"-c {setting}" for setting in in_force)
    arguments = {**_PG_DEFAULTS, "options": options}
    try:
        return sa.create_engine(
            url,
            pool_pre_ping=True,  # after a restart of the server the connections in the pool are dead
            connect_args={key: value for key, value in arguments.items() if key not in url.query},
        )
    except ImportError:
        raise UsageError(
            f"{display(url)}: PostgreSQL needs its driver: pip install 'weldnet-station[postgres]'"
        ) from None


# --- the schema's revision -----------------------------------------------------------------------------


def alembic_config(connection: sa.Connection) -> Config:
    """Return Alembic's configuration for the migrations that come with this program."""
    from alembic.config import Config  # noqa: PLC0415 - importing it takes 0.3 s, and only migrate needs it

    config = Config()
    folder = str(_migrations()).replace("%", "%%")  # configparser reads % as a placeholder
    config.set_main_option("script_location", folder)
    config.attributes["connection"] = connection
    return config


def require_schema(connection: sa.Connection, *, may_be_old: bool = False) -> None:
    """Refuse a database that does not have this program's schema.

    Args:
        connection: an open transaction.
        may_be_old: accept an earlier revision, and a database without a schema (before an upgrade).

    Raises:
        SchemaError: the schema is missing, old, or made by a newer program.
    """
    where = display(connection.engine.url)
    current, known = _revision(connection), revisions()
    if current is not None and current not in known:
        raise SchemaError(
            f"{where}: schema revision {current} is from a newer program; update weldnet-station here"
        )
    head = known[-1]
    if current != head and not may_be_old:
        found = (
            "has no schema"
            if current is None
            else f"has schema revision {current}, this program needs {head}"
        )
        raise SchemaError(f"{where}: {found}; {_RUN_MIGRATE}")


def revisions() -> list[str]:
    """Return this program's revisions, the oldest first, from the names of the migrations' files."""
    return sorted(file.name.split("_")[0] for file in (_migrations() / "versions").glob("[0-9]*_*.py"))


def _revision(connection: sa.Connection) -> str | None:
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    revision: str | None = connection.scalar(sa.text("SELECT version_num FROM alembic_version"))
    return revision


def _migrations() -> Path:
    return resources.folder("sql") / "migrations"
