"""The daemon's ties to systemd and to signals: what it says of itself, when it has to stop or to reload."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from inspector.monitoring.progress import Progress

_PAUSE_SLICE_S = 0.2  # a pause looks at the stop flag this often: quick to obey, cheap when idle


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
            time.sleep(min(left, _PAUSE_SLICE_S))


class ReloadFlag:
    """Set by SIGHUP; a plain attribute, as in :class:`StopFlag`."""

    def __init__(self) -> None:
        self.is_set = False

    def set(self) -> None:
        """Ask for settings and artifact to be read again."""
        self.is_set = True

    def clear(self) -> None:
        """The reading begins; what is asked for from here on is another one."""
        self.is_set = False


@contextmanager
def stop_on_signals(stop: StopFlag) -> Iterator[None]:
    """Within the block SIGTERM and SIGINT set the flag; a second SIGINT interrupts as usual."""

    def handler(number: int, frame: FrameType | None) -> None:
        stop.set()
        if number == signal.SIGINT:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    with _handled(handler, signal.SIGTERM, signal.SIGINT):
        yield


@contextmanager
def reload_on_signal(reload: ReloadFlag) -> Iterator[None]:
    """Within the block SIGHUP sets the flag."""
    with _handled(lambda number, frame: reload.set(), signal.SIGHUP):
        yield


@contextmanager
def _handled(handler: Callable[[int, FrameType | None], None], *numbers: signal.Signals) -> Iterator[None]:
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


_MAX_STATE_WAIT_S = 5.0  # s that READY and its like wait for a manager that does not read


class Notifier:
    """systemd's readiness protocol (sd_notify(3)); silent where no service manager listens.

    A manager that does not read stops no inspection: what changes the service's state waits for it a moment,
    a status or a ping not at all; these two come again.

    Args:
        progress: what the watchdog is fed by.
    """

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._address = os.environ.get("NOTIFY_SOCKET", "")
        watchdog_us = int(os.environ.get("WATCHDOG_USEC", "0"))
        self._ping_s = (
            watchdog_us / 2_000_000 if watchdog_us else None
        )  # half, as sd_watchdog_enabled(3) advises
        self._next_ping = 0.0
        self._status = ""

    def ready(self) -> None:
        """The model is warm, the watch stands, the database has answered or its outage is declared."""
        self._send("READY=1", _MAX_STATE_WAIT_S)

    def reloading(self) -> None:
        """Settings and artifact are being read again; :meth:`ready` ends it, whichever way it went."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}", _MAX_STATE_WAIT_S)

    def stopping(self) -> None:
        """No more files are taken; what was taken is being finished."""
        self._send("STOPPING=1", _MAX_STATE_WAIT_S)

    def status(self, text: str) -> None:
        """One line for ``systemctl status``; sent only when it changes."""
        if text != self._status and self._send(f"STATUS={text}"):
            self._status = text

    def alive(self) -> None:
        """The main loop has come round: feed the watchdog when half its time is over, and work gets on."""
        self._progress.beat()
        now = time.monotonic()
        if self._ping_s is None or now < self._next_ping:
            return
        if self._progress.standstill_s() < self._ping_s and self._send("WATCHDOG=1"):
            self._next_ping = now + self._ping_s

    def _send(self, message: str, wait_s: float = 0) -> bool:
        """Whether the manager has it."""
        if not self._address:
            return False
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
            try:
                channel.settimeout(wait_s)
                channel.connect(address)
                channel.sendall(message.encode())
            except OSError:
                return False  # the manager is restarting, or its queue is full: inspection goes on
        return True
