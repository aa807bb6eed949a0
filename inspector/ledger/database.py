"""Engines for SQLite and PostgreSQL that behave alike: one transaction model, one set of errors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import URL, make_url

from inspector import resources
from inspector.errors import (
    RowRefused,
    SchemaError,
    StationError,
    StoreRefused,
    StoreUnavailable,
    UsageError,
)
from inspector.ledger import postgresql, sqlite

if TYPE_CHECKING:
    from alembic.config import Config

T = TypeVar("T")

# Rows that one query names. Two bound parameters for each are far below either back end's limit, and one
# transaction that adds a row for each takes tens of milliseconds, which the daemon's next commit can wait.
MAX_IDS_PER_QUERY = 500
_FIX_ACCESS = "correct database_url, the password or the server's roles"
_ROW_CODES = ("P0001", "44000")  # a shop's own trigger that raises; a view with CHECK OPTION
_FIX_PREPARED = "; remove prepare_threshold from database_url: a pooler that shares connections forbids it"
_OUTAGE_ADVICE: dict[str | None, str] = {  # by SQLSTATE
    "42P05": _FIX_PREPARED,  # a statement is prepared already
    "26000": _FIX_PREPARED,  # a statement is not prepared
    "55P03": "; end the report or station that holds the table, then run it again",  # lock_not_available
    "57014": "; the server is overloaded, or a migration holds the tables",  # query_canceled
}


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
        return sqlite.engine(url, read_only=read_only, create=create)
    return postgresql.engine(url, display(url), read_only=read_only)


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
    """Return the engine for writers: SQLite takes the write lock at BEGIN, on one connection for all of them.

    Without this, a transaction that reads before it writes can fail with ``database is locked`` at once: its
    snapshot may be old by then, and SQLite does not wait in that case.
    """
    writers: sa.Engine = engine.get_execution_options().get("writers", engine)
    return writers


@contextmanager
def transaction(engine: sa.Engine) -> Iterator[sa.Connection]:
    """Commit or roll back, and turn an error of the database into one line of our own error tree.

    Raises:
        StoreUnavailable: an outage: no answer, locked, out of space, timeout, dead connection, or a SQLite
            file that has been deleted or replaced. The transaction may or may not have been written.
        StoreRefused: the server refuses this user, password or database, or a right is missing.
        SchemaError: tables are missing or have another shape, or the file is no database.
        UsageError: the URL asks for something that the driver does not know.
    """
    try:
        with engine.begin() as connection:
            require_ledger(engine)
            yield connection
        require_ledger(engine)  # a row in a file without a name is none
    except sa.exc.DBAPIError as error:
        translated = _translate(engine.url, error)
        if translated is None:
            raise
        raise translated from error
    except sa.exc.TimeoutError as error:
        raise StoreUnavailable(f"{display(engine.url)}: no free connection: {error}") from error


def require_ledger(engine: sa.Engine) -> None:
    """Refuse to go on if a SQLite file has been deleted, replaced or overwritten since it was opened.

    Raises:
        StoreUnavailable: it has.
    """
    engine.get_execution_options().get("require_ledger", lambda: None)()


def give_up(engine: sa.Engine) -> None:
    """Never use this SQLite file again: its rows are others. A PostgreSQL server is taken as it is."""
    engine.get_execution_options().get("give_up", lambda: None)()


def _translate(url: URL, error: sa.exc.DBAPIError) -> StationError | None:
    """Return our error for the driver's error; None if it can only be a mistake in this program."""
    message = " ".join(str(error.orig).split())
    where, code = display(url), _sqlstate(error)
    outages = (sa.exc.OperationalError, sa.exc.InterfaceError, sa.exc.InternalError)
    if isinstance(error, sa.exc.IntegrityError | sa.exc.DataError) or code in _ROW_CODES:
        return _number_in_use(where, error) or RowRefused(f"{where}: the database refuses a row: {message}")
    if problem := _schema_error(message, code):
        return SchemaError(f"{where}: {problem}")
    if code == "42501":  # insufficient_privilege
        return StoreRefused(
            f"{where}: the database refuses: {message}; as the tables' owner run roles.sql,"
            " or give this user the role that may"
        )
    is_refusal = any(refusal in message for refusal in postgresql.REFUSALS)
    if error.statement is None and is_refusal:  # no connection yet
        return StoreRefused(f"{where}: the database refuses: {message}; {_FIX_ACCESS}")
    if isinstance(error, outages) or error.connection_invalidated or code in _OUTAGE_ADVICE:
        return StoreUnavailable(f"{where}: database outage: {message}{_OUTAGE_ADVICE.get(code, '')}")
    unclear = f"{where}: the database refuses: {message}; check database_url and the user's rights"
    return UsageError(unclear) if isinstance(error, sa.exc.ProgrammingError) else None


def _number_in_use(where: str, error: sa.exc.DBAPIError) -> StoreRefused | None:
    """Return our error if PostgreSQL gave a new row the number of another row; None for any other key."""
    about = getattr(error.orig, "diag", None)
    if about is None or not str(about.constraint_name).startswith("pk_"):
        return None
    table = about.table_name
    fix = f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), max(id)) FROM {table}"  # noqa: S608
    return StoreRefused(
        f"{where}: new rows of {table} get numbers that are in use, as after a restore without sequences; "
        f"as the tables' owner: {fix}"
    )


def _schema_error(message: str, code: str | None) -> str | None:
    """Return what is wrong with the tables: by SQLSTATE on PostgreSQL; SQLite has only its messages."""
    if code in ("42P01", "42703") or (code is None and message.startswith("no such")):
        return f"lacks a table or column of this program ({message}); {sqlite.RUN_MIGRATE}"
    if code in ("42P07", "42710") or (code is None and "already exists" in message):
        return f"holds tables that this program did not make ({message}); use another database"
    if code is None and ("not a database" in message or "malformed" in message):
        return f"is not a sound SQLite database ({message}); restore it or name another file"
    return None


def _sqlstate(error: sa.exc.DBAPIError) -> str | None:
    return getattr(error.orig, "sqlstate", None)


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
    if connection.dialect.name == "postgresql":
        postgresql.require_utf8(connection, where)
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
        raise SchemaError(f"{where}: {found}; {sqlite.RUN_MIGRATE}")


def require_neighbour(connection: sa.Connection, *, first: str) -> None:
    """Refuse a central database whose schema is too old, or more than one revision ahead of this program's.

    Args:
        connection: an open transaction.
        first: the oldest revision that is accepted.

    Raises:
        SchemaError: the schema is missing, or too old or too new.
    """
    where = display(connection.engine.url)
    current, known = _revision(connection), revisions()
    if current is None or current < first:
        found = "has no schema" if current is None else f"has schema revision {current}, which is too old"
        raise SchemaError(f"{where}: {found}; {sqlite.RUN_MIGRATE} there, with this as its database_url")
    if current not in known and int(current) != int(known[-1]) + 1:
        raise SchemaError(
            f"{where}: schema revision {current} is from a much newer program; update weldnet-station here"
        )


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
