"""A stand-in for systemd's notify socket, and helpers for daemons that run in the background."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


class Manager:
    """Listens as systemd does; ``heard`` holds the datagrams in order."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "notify"
        self.heard: list[str] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(self.path))

    def listen(self, seconds: float) -> list[str]:
        """What is said within this time, which is waited for."""
        until, first = time.monotonic() + seconds, len(self.heard)
        while (left := until - time.monotonic()) > 0:
            self._socket.settimeout(left)
            try:
                self.heard.append(self._socket.recv(4096).decode())
            except TimeoutError:
                break
        return self.heard[first:]

    def expect(self, start: str, longest_s: float = 60) -> str:
        """The next datagram that begins with ``start``."""
        until = time.monotonic() + longest_s
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


@contextmanager
def running(daemon: subprocess.Popen[str]) -> Iterator[subprocess.Popen[str]]:
    """A daemon that does not outlive its test, whatever happens."""
    try:
        yield daemon
    finally:
        if daemon.poll() is None:
            daemon.kill()
        daemon.communicate()


def wait_until(holds: Callable[[], bool], daemon: subprocess.Popen[str], longest_s: float = 60) -> None:
    """Poll until a condition holds; fail where the daemon has ended or the time is over."""
    until = time.monotonic() + longest_s
    while not holds():
        assert daemon.poll() is None, daemon.communicate()[1]
        assert time.monotonic() < until, "it never came true"
        time.sleep(0.05)
