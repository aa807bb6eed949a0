"""A consistent copy of the quality database, taken while the station works."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import URL

from inspector.errors import SchemaError, StationError, UsageError
from inspector.ledger import database, sqlite
from inspector.station import renames


def backup(url: URL, out: Path) -> None:
    """Copy the database to a new file, which appears under its name only when it is whole and on the disk.

    SQLite is copied by its backup interface, in one transaction, and the copy is checked. PostgreSQL is
    copied by ``pg_dump`` in its own format, for ``pg_restore``.

    Args:
        url: the quality database.
        out: a file that does not exist yet.

    Raises:
        UsageError: the file exists, its folder is missing, or ``pg_dump`` is not installed.
        SchemaError: there is no database.
        StoreUnavailable: the server does not answer.
        StationError: the disk is full, or ``pg_dump`` fails.
    """
    if os.path.lexists(out):
        raise UsageError(f"{out} exists already; a backup never overwrites a file: choose another name")
    if not out.parent.is_dir():
        raise UsageError(f"{out}: there is no folder {out.parent}; make it or name another")
    unfinished = out.with_name(f".{out.name}.unfinished-{os.getpid()}")
    try:
        os.close(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640))  # it holds every row
        if url.get_backend_name() == "sqlite":
            _copy_sqlite(url, unfinished)
        else:
            _dump_postgresql(url, unfinished, out)
        with _opened(unfinished) as fd:
            os.fsync(fd)
        with _opened(out.parent) as folder:
            renames.out_of(folder, unfinished.name, out)  # which never overwrites
            os.fsync(folder)
    except OSError as error:
        raise StationError(f"{out}: cannot be written: {error.strerror}") from None
    finally:
        unfinished.unlink(missing_ok=True)


def _copy_sqlite(url: URL, out: Path) -> None:
    library = sqlite.driver()
    with database.reading(url) as engine, database.transaction(engine) as connection:
        database.require_schema(connection, may_be_old=True)
        copy = library.connect(str(out))
        try:
            _driver_connection(connection).backup(copy)
            copy.execute(
                "PRAGMA journal_mode=DELETE"
            )  # one file without companions; the station sets it back
            [found] = copy.execute("PRAGMA quick_check(1)").fetchone()
        except library.Error as error:
            raise StationError(f"{out.parent}: the copy cannot be written: {error}") from None
        finally:
            copy.close()
    if found != "ok":
        raise SchemaError(f"{database.display(url)}: is damaged ({found}); keep the last good backup")


def _driver_connection(connection: sa.Connection) -> Any:
    return connection.connection.driver_connection


def _dump_postgresql(url: URL, unfinished: Path, out: Path) -> None:
    """Run ``pg_dump``; the password goes through the environment, since everybody can see arguments."""
    from psycopg.conninfo import make_conninfo  # noqa: PLC0415 - of the extra 'postgres'

    with database.reading(url) as engine:  # which only gives the driver's arguments, and does not connect
        _, arguments = engine.dialect.create_connect_args(url)
    password = arguments.pop("password", None)
    own = ("context", "prepare_threshold")  # the driver's, which libpq does not know
    address = make_conninfo(**{key: value for key, value in arguments.items() if key not in own})
    if not (program := shutil.which("pg_dump")):
        command = shlex.join(["pg_dump", "--format=custom", f"--file={out}", address])
        raise UsageError(
            f"pg_dump is not installed: install PostgreSQL's client programs, or run where it is: {command}"
        )
    environment = os.environ | ({"PGPASSWORD": str(password)} if password else {})
    words = [program, "--format=custom", f"--file={unfinished}", f"--dbname={address}"]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        said = " ".join(done.stderr.split())[-300:]
        raise StationError(f"{database.display(url)}: pg_dump failed: {said}")


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    fd = os.open(path, os.O_RDONLY)
    try:
        yield fd
    finally:
        os.close(fd)
