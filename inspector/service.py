"""The daemon's ties to systemd and to signals: what it says of itself, and when it has to stop."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_SLICE_S = 0.2  # a pause looks at the stop flag this often: quick to obey, cheap when idle


class StopFlag:
    """Set by SIGTERM and SIGINT; the main loop looks at it and acts.

    A plain attribute, not a ``threading.Event``: a handler runs between two byte codes of the main thread,
    which may be holding the event's own lock at that very moment.
    """

    def __init__(self) -> None:
        self.is_set = False

    def set(self) -> None:
        """Ask for an orderly end."""
        self.is_set = True

    def pause(self, seconds: float) -> None:
        """Sleep, but not past a request to stop (``seconds`` on the monotonic clock)."""
        until = time.monotonic() + seconds
        while not self.is_set and (left := until - time.monotonic()) > 0:
            time.sleep(min(left, _SLICE_S))


@contextmanager
def stop_on_signals(stop: StopFlag) -> Iterator[None]:
    """Within the block SIGTERM and SIGINT set the flag; a second SIGINT interrupts as usual."""

    def handler(number: int, frame: FrameType | None) -> None:
        stop.set()
        if number == signal.SIGINT:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    before = {number: signal.signal(number, handler) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


class Notifier:
    """systemd's readiness protocol (sd_notify(3)); silent where no service manager listens."""

    def __init__(self) -> None:
        self._address = os.environ.get("NOTIFY_SOCKET", "")
        watchdog_us = int(os.environ.get("WATCHDOG_USEC", "0"))
        self._ping_s = (
            watchdog_us / 2_000_000 if watchdog_us else None
        )  # half, as sd_watchdog_enabled(3) advises
        self._next_ping = 0.0
        self._status = ""

    def ready(self) -> None:
        """The model is warm, the watch stands, the database has answered or its outage is declared."""
        self._send("READY=1")

    def stopping(self) -> None:
        """No more files are taken; what was taken is being finished."""
        self._send("STOPPING=1")

    def status(self, text: str) -> None:
        """One line for ``systemctl status``; sent only when it changes."""
        if text != self._status:
            self._status = text
            self._send(f"STATUS={text}")

    def alive(self) -> None:
        """The main loop has come round: feed the watchdog when half its time is over."""
        now = time.monotonic()
        if self._ping_s is not None and now >= self._next_ping:
            self._next_ping = now + self._ping_s
            self._send("WATCHDOG=1")

    def _send(self, message: str) -> None:
        if not self._address:
            return
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
            try:
                channel.connect(address)
                channel.sendall(message.encode())
            except OSError:
                return  # the manager is restarting: it asks again, inspection goes on
