"""A replacement for systemd's notify socket, and helpers for daemons that run in the background."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from waiting import HANG_S, wait_for

from inspector.station.service import ReloadFlag, StopFlag


class Manager:
    """Listens as systemd does; ``heard`` holds the datagrams in order."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "notify"
        self.heard: list[str] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(self.path))

    def listen(self, seconds: float) -> list[str]:
        """Wait for this time, and return the messages that came."""
        until, first = time.monotonic() + seconds, len(self.heard)
        while (left := until - time.monotonic()) > 0:
            self._socket.settimeout(left)
            try:
                self.heard.append(self._socket.recv(4096).decode())
            except TimeoutError:
                break
        return self.heard[first:]

    def expect(self, start: str) -> str:
        """The next datagram that begins with ``start``."""
        until = time.monotonic() + HANG_S
        while True:
            self._socket.settimeout(max(until - time.monotonic(), 0.001))
            try:
                self.heard.append(self._socket.recv(4096).decode())
            except TimeoutError:
                raise AssertionError(f"never said {start!r}: {self.heard}") from None
            if self.heard[-1].startswith(start):
                return self.heard[-1]

    def close(self) -> None:
        """Stop listening."""
        self._socket.close()


@contextmanager
def manager(folder: Path) -> Iterator[Manager]:
    """A manager that is closed at the end."""
    it = Manager(folder)
    try:
        yield it
    finally:
        it.close()


class Worker:
    """A daemon in a thread of this process, which saves the seconds that torch takes to load."""

    def __init__(self, config: Path) -> None:
        self._config = config
        self._stop = StopFlag()
        self._reload = ReloadFlag()
        self._pool = ThreadPoolExecutor(1)
        self._work = self._pool.submit(self._run)

    def _run(self) -> None:
        from inspector import settings
        from inspector.station import composition

        loaded = settings.load(self._config)
        composition.run(self._config, loaded, stop=self._stop, reload=self._reload, only_present=False)

    def poll(self) -> int | None:
        """Return None while the daemon works, as ``Popen.poll`` does."""
        return int(self._work.exception() is not None) if self._work.done() else None

    def communicate(self) -> tuple[str, str]:
        """Return empty output, and the exception that the daemon ended with."""
        return "", repr(self._work.exception())

    def reload(self) -> None:
        """Ask for settings and artifact to be read again, as SIGHUP does."""
        self._reload.set()

    def stop(self) -> None:
        """End the daemon in order; raise the exception that it ended with, if any."""
        self._stop.set()
        self._work.result(HANG_S)
        self._pool.shutdown()


@contextmanager
def working(config: Path) -> Iterator[Worker]:
    """The real daemon of these settings, in this process, until the block ends."""
    worker = Worker(config)
    try:
        yield worker
    finally:
        worker.stop()


@contextmanager
def running(daemon: subprocess.Popen[str]) -> Iterator[subprocess.Popen[str]]:
    """A daemon that is ended after the block in any case."""
    try:
        yield daemon
    finally:
        if daemon.poll() is None:
            daemon.kill()
        daemon.communicate()


def wait_until(holds: Callable[[], bool], daemon: subprocess.Popen[str] | Worker) -> None:
    """Poll until a condition holds; fail if the daemon has ended or the time is over."""

    def holds_still_running() -> bool:
        held = holds()
        assert held or daemon.poll() is None, daemon.communicate()[1]
        return held

    wait_for(holds_still_running)


def stop(daemon: subprocess.Popen[str], number: int = signal.SIGTERM) -> tuple[int, str]:
    """Signal a daemon; return its exit status and log."""
    daemon.send_signal(number)
    log = daemon.communicate(timeout=HANG_S)[1]
    return daemon.returncode, log


def is_empty(folder: Path) -> bool:
    """Whether a folder holds no files."""
    return not any(folder.iterdir())
