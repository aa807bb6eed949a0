"""Signals that stop or reload the daemon, and its messages to systemd."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from inspector.monitoring.progress import Progress

_PAUSE_SLICE_S = 0.2  # a pause checks the stop flag this often: it reacts quickly, and is cheap when idle


class StopFlag:
    """Flag that SIGTERM and SIGINT set; the main loop reads it and acts.

    It is a plain attribute instead of a ``threading.Event``: a signal handler runs between two byte codes of
    the main thread, which may hold the event's own lock at that moment.
    """

    def __init__(self) -> None:
        self.is_set = False

    def set(self) -> None:
        """Ask for an orderly end."""
        self.is_set = True

    def pause(self, seconds: float) -> None:
        """Sleep for so many seconds, or until a request to stop."""
        until = time.monotonic() + seconds
        while not self.is_set and (left := until - time.monotonic()) > 0:
            time.sleep(min(left, _PAUSE_SLICE_S))


class ReloadFlag:
    """Flag that SIGHUP sets; a plain attribute, as in :class:`StopFlag`."""

    def __init__(self) -> None:
        self.is_set = False

    def set(self) -> None:
        """Ask for settings and artifact to be read again."""
        self.is_set = True

    def clear(self) -> None:
        """Forget the request, since the reading begins; a later signal asks for another reload."""
        self.is_set = False


@contextmanager
def stop_on_signals(stop: StopFlag) -> Iterator[None]:
    """Let SIGTERM and SIGINT set the flag within the block; a second SIGINT interrupts as usual."""

    def handler(number: int, frame: FrameType | None) -> None:
        stop.set()
        if number == signal.SIGINT:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    with _handled(handler, signal.SIGTERM, signal.SIGINT):
        yield


@contextmanager
def reload_on_signal(reload: ReloadFlag) -> Iterator[None]:
    """Let SIGHUP set the flag within the block."""
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


_MAX_STATE_WAIT_S = 5.0  # READY and its like wait so long for a manager that does not read


class Notifier:
    """Sender of systemd's readiness protocol (sd_notify(3)); silent if no service manager listens.

    A manager that does not read never stops an inspection. A change of the service's state waits for it for a
    moment. A status or a ping does not wait, since the next one follows soon.

    Args:
        progress: decides whether the watchdog is fed.
    """

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._address = os.environ.get("NOTIFY_SOCKET", "")
        watchdog_us = int(os.environ.get("WATCHDOG_USEC", "0"))
        self._ping_s = (
            watchdog_us / 2_000_000 if watchdog_us else None
        )  # half of it, as sd_watchdog_enabled(3) advises
        self._next_ping = 0.0
        self._status = ""

    def ready(self) -> None:
        """Report READY: the network is warm, the folder is watched, the database or its outage is known."""
        self._send("READY=1", _MAX_STATE_WAIT_S)

    def reloading(self) -> None:
        """Report that settings and artifact are being read again; :meth:`ready` ends it in any case."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}", _MAX_STATE_WAIT_S)

    def stopping(self) -> None:
        """Report that no more files are taken, and that those in work are being finished."""
        self._send("STOPPING=1", _MAX_STATE_WAIT_S)

    def status(self, text: str) -> None:
        """Send one line for ``systemctl status``, if it has changed."""
        if text != self._status and self._send(f"STATUS={text}"):
            self._status = text

    def alive(self) -> None:
        """Note a round of the main loop; feed the watchdog at half its time if all work makes progress."""
        self._progress.beat()
        now = time.monotonic()
        if self._ping_s is None or now < self._next_ping:
            return
        if self._progress.standstill_s() < self._ping_s and self._send("WATCHDOG=1"):
            self._next_ping = now + self._ping_s

    def _send(self, message: str, wait_s: float = 0) -> bool:
        """Send a message; return whether the manager has it."""
        if not self._address:
            return False
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
                channel.settimeout(wait_s)
                channel.connect(address)
                channel.sendall(message.encode())
        except (
            OSError
        ):  # the manager restarts, its queue is full, or no descriptor is free; inspection goes on
            return False
        return True
