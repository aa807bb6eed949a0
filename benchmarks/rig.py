"""A station under test with real settings, a real daemon process and a real database."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from sqlalchemy.engine import URL, make_url

from inspector.ledger import database
from inspector.ledger.store import migrate

sys.path.append(
    str(Path(__file__).parents[1] / "tests" / "support")
)  # the tests' own station, server and tiny artifact
from stations import Station

DEMO = Path(__file__).parents[1] / "deploy" / "demo" / "weldnet-synthetic.pt"
GIVE_UP_S = (
    8.0  # setting give_up_s: a camera may pause between open and write, because all share the processor
)
MAX_STANDSTILL_S = (
    180.0  # if no file leaves the folder for this long, the daemon hangs, even on a busy machine
)

# Stations run in parallel, but Alembic keeps its state in global variables.
_ONE_MIGRATION = threading.Lock()


class Broken(Exception):
    """The daemon did something that must never happen; the message holds the end of its log."""


class Rig(Station):
    """A station whose daemon runs in its own process and logs to ``daemon-<n>.log``.

    Args:
        folder: the station's folder; it is made if it is missing.
        artifact: the artifact that judges the images.
        url: the database; the schema is created.
        logs: the folder for the daemons' logs; default: ``folder``.
        settings: replacements for single settings.
    """

    def __init__(
        self, folder: Path, artifact: Path, url: URL, *, logs: Path | None = None, **settings: Any
    ) -> None:
        folder.mkdir(exist_ok=True)
        super().__init__(folder, artifact, url, **({"give_up_s": GIVE_UP_S} | settings))
        with _ONE_MIGRATION:
            migrate(url)
        self.name: str = settings.get("station", "cell-1")
        self.ready_s = 5.0  # from start to ready, of the last start that was waited for
        self._logs, self._starts = logs or folder, 0
        self._daemon: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._daemon and self._daemon.poll() is None:
            self.kill()

    @property
    def log(self) -> Path:
        """The log of the newest daemon."""
        return self._logs / f"daemon-{self._starts}.log"

    @property
    def daemon(self) -> subprocess.Popen[bytes]:
        """The newest daemon."""
        if self._daemon is None:
            raise Broken("no daemon was started")
        return self._daemon

    def launch(self) -> None:
        """Start ``weld-inspect run`` and return at once."""
        self._starts += 1
        with self.log.open("wb") as log:
            self._daemon = subprocess.Popen(
                [*self._program(), "run", "--config", str(self.config)],
                stdout=subprocess.DEVNULL,
                stderr=log,
            )

    def launch_ready(self) -> None:
        """Start ``weld-inspect run`` and wait until it reports that it is ready."""
        began = time.monotonic()
        self.launch()
        self.wait_for(lambda: "ready: watching" in self.log.read_text(errors="replace"), "it was ready")
        self.ready_s = time.monotonic() - began

    def kill(self) -> None:
        """Kill the daemon with SIGKILL."""
        self.daemon.kill()
        self.daemon.wait()

    def stop(self) -> None:
        """Stop the daemon with SIGTERM, which must end it with status 0."""
        self.daemon.send_signal(signal.SIGTERM)
        status = self.daemon.wait(timeout=120)
        if status != 0:
            raise Broken(f"SIGTERM ended it with status {status}:\n{self._end_of_log()}")

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """Stop all of the daemon's threads during the block, at any point of their work."""
        self.daemon.send_signal(signal.SIGSTOP)
        self.wait_for(lambda: _is_stopped(self.daemon.pid), "all of its threads were stopped")
        try:
            yield
        finally:
            self.daemon.send_signal(signal.SIGCONT)

    def wait_for(
        self, holds: Callable[[], bool], what: str, longest_s: float = MAX_STANDSTILL_S, every_s: float = 0.05
    ) -> None:
        """Poll until a condition holds.

        Raises:
            Broken: the daemon has ended, or the time is over.
        """
        until = time.monotonic() + longest_s
        while not holds():
            if self.daemon.poll() is not None:
                raise Broken(
                    f"ended with status {self.daemon.returncode} before {what}:\n{self._end_of_log()}"
                )
            if time.monotonic() > until:
                raise Broken(f"{longest_s:.0f} s passed before {what}:\n{self._end_of_log()}")
            time.sleep(every_s)

    def wait_until_idle(self, each: Callable[[int], None] = lambda _: None) -> None:
        """Wait until the drop folder is empty, without a limit as long as files leave it.

        Args:
            each: called from time to time with the number of files that are left.
        """
        while left := self.waiting():
            each(left)
            before = left
            self.wait_for(lambda n=before: self.waiting() != n, f"any of {left} files left the folder")

    def drain(self) -> None:
        """Let the daemon, or a new one if none runs, take all waiting files, and stop it."""
        if self._daemon is None or self._daemon.poll() is not None:
            self.launch()
        self.wait_until_idle()
        self.wait_for(lambda: "ready: watching" in self.log.read_text(errors="replace"), "it was ready")
        self.stop()

    def waiting(self) -> int:
        """The number of files in the drop folder, without hidden ones."""
        return sum(not name.startswith(".") for name in os.listdir(self.drop))

    def archived(self) -> int:
        """The number of files in the archive."""
        return len(self.files(self.archive))

    def _end_of_log(self, lines: int = 30) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


def _is_stopped(process: int) -> bool:
    """Whether all threads are stopped; a stop signal reaches them one by one."""
    states = (task.joinpath("stat").read_text() for task in Path(f"/proc/{process}/task").iterdir())
    return all(state.rpartition(") ")[2].startswith("T") for state in states)


@contextlib.contextmanager
def databases(backend: str, folder: Path) -> Iterator[URL]:
    """An empty database that lives within the block: a SQLite file in ``folder`` or a PostgreSQL server."""
    if backend == "sqlite":
        yield make_url(f"sqlite:///{folder / 'quality.db'}")
        return
    from servers import postgresql_server, postgresql_url

    with postgresql_server() as server:
        yield postgresql_url(server)


@contextlib.contextmanager
def work_folder(name: str, parent: Path | None = None) -> Iterator[Path]:
    """A temporary folder that is removed after the block, unless the block fails."""
    folder = Path(tempfile.mkdtemp(prefix=f"weldnet-{name}-", dir=parent))
    yield folder
    shutil.rmtree(folder)


def tiny_artifact(path: Path) -> Path:
    """Compile the tests' tiny network to ``path``: real int8 code, a few kilobytes, 1 ms per frame."""
    from artifact_samples import compiled

    compiled(path)
    return path


def progress_bars(console: Console) -> Progress:
    """Bars that show how many are done and how long the rest takes."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=console)


def scalar(url: URL, sql: str) -> Any:
    """Read one value from the database with a separate connection."""
    with database.reading(url) as engine, database.transaction(engine) as connection:
        return connection.exec_driver_sql(sql).scalar()
