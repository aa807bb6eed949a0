"""PgBouncer in front of a PostgreSQL server of the tests."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from programs import program
from sqlalchemy.engine import URL
from waiting import wait_for

_PORT = 6432  # names the socket's file; no TCP port is opened


@contextmanager
def pgbouncer(server: URL, mode: str, *, connections: int = 2, clients: int = 100) -> Iterator[URL]:
    """A pooler with ``pool_mode`` ``session`` or ``transaction``, and so many connections to the server."""
    path = program("pgbouncer")
    folder = Path(tempfile.mkdtemp(prefix="weldnet-pgbouncer-"))
    config = folder / "pgbouncer.ini"
    config.write_text(
        f"[databases]\n* = host={server.query['host']} port=5432 user={server.username}\n"
        f"[pgbouncer]\nlisten_addr =\nlisten_port = {_PORT}\nunix_socket_dir = {folder}\n"
        f"auth_type = any\npool_mode = {mode}\ndefault_pool_size = {connections}\n"
        f"max_client_conn = {clients}\nlogfile = {folder}/log\n"
    )
    folder.chmod(0o777)
    config.chmod(0o644)
    # It refuses to run as root; only the server's own user may enter the folder of the server's socket.
    words = ["-u", Path(str(server.query["host"])).owner()] if os.geteuid() == 0 else []
    process = subprocess.Popen([path, "-q", *words, str(config)], stderr=subprocess.DEVNULL)
    url = server.set(query={"host": str(folder), "port": str(_PORT)})
    try:
        wait_for(lambda: _answers(url))
        yield url
    finally:
        process.terminate()
        process.wait()
        shutil.rmtree(folder)


def _answers(url: URL) -> bool:
    try:
        psycopg.connect(
            host=str(url.query["host"]), port=_PORT, user=url.username, dbname=url.database, connect_timeout=5
        ).close()
    except psycopg.OperationalError:
        return False
    return True
