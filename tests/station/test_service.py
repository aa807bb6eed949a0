"""Signals and systemd's messages, over a real socket and with real signals."""

import os
import signal
import socket
import time

import pytest

from inspector.monitoring.progress import Progress
from inspector.station.service import Notifier, ReloadFlag, StopFlag, reload_on_signal, stop_on_signals


@pytest.fixture
def manager(tmp_path, monkeypatch):
    """A replacement for systemd's notify socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield listener


def _heard(listener: socket.socket) -> list[str]:
    messages = []
    while True:
        try:
            messages.append(listener.recv(4096).decode())
        except BlockingIOError:
            return messages


def test_the_manager_hears_each_message_in_order(manager):
    """READY, STATUS and STOPPING arrive as datagrams, in the order in which they were sent."""
    notifier = Notifier(Progress())
    notifier.ready()
    notifier.status("3 inspected")
    notifier.stopping()
    assert _heard(manager) == ["READY=1", "STATUS=3 inspected", "STOPPING=1"]


def test_an_unchanged_status_is_not_repeated(manager):
    """A status that is set in every round is sent once."""
    notifier = Notifier(Progress())
    notifier.status("idle")
    notifier.status("idle")
    assert _heard(manager) == ["STATUS=idle"]


def test_a_manager_that_does_not_read_holds_nothing_up(manager):
    """If its queue is full a status returns at once; when the manager reads again, it gets the latest one."""
    notifier = Notifier(Progress())
    for number in range(2000):  # far beyond net.unix.max_dgram_qlen
        notifier.status(f"{number} inspected")
    heard = _heard(manager)
    assert heard == [f"STATUS={number} inspected" for number in range(len(heard))]
    assert 0 < len(heard) < 2000
    notifier.status("1999 inspected")
    notifier.status("1999 inspected")
    assert _heard(manager) == ["STATUS=1999 inspected"]


def test_the_watchdog_is_fed_at_half_its_time(manager, monkeypatch):
    """Two rounds close together feed the watchdog once; without WATCHDOG_USEC it is never fed."""
    monkeypatch.setenv("WATCHDOG_USEC", "60000000")
    fed = Notifier(Progress())
    fed.alive()
    fed.alive()
    monkeypatch.delenv("WATCHDOG_USEC")
    Notifier(Progress()).alive()
    assert _heard(manager) == ["WATCHDOG=1"]


def test_work_that_does_not_end_stops_the_pings(manager, monkeypatch):
    """A task that runs longer than half the watchdog's time stops its feeding until the task ends."""
    monkeypatch.setenv("WATCHDOG_USEC", "2000000")
    clock = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    progress = Progress(time.monotonic)
    notifier = Notifier(progress)
    progress.queued()
    with progress.running():
        for clock[0] in (100.5, 100.9, 101.0, 105.0):
            notifier.alive()
        assert _heard(manager) == ["WATCHDOG=1"]
    notifier.alive()
    assert _heard(manager) == ["WATCHDOG=1"]


def test_sighup_asks_for_a_reload():
    """A real SIGHUP sets the flag within the block, and the old handler is restored."""
    before = signal.getsignal(signal.SIGHUP)
    reload = ReloadFlag()
    with reload_on_signal(reload):
        os.kill(os.getpid(), signal.SIGHUP)
        assert reload.is_set
        reload.clear()
        assert not reload.is_set
    assert signal.getsignal(signal.SIGHUP) is before


def test_nothing_is_sent_without_a_manager(monkeypatch):
    """Without a manager, or after it has gone, the daemon goes on."""
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    Notifier(Progress()).ready()
    monkeypatch.setenv("NOTIFY_SOCKET", "/nowhere/notify")
    Notifier(Progress()).ready()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_sets_the_flag_and_ends_a_pause(number):
    """A real signal sets the flag, a long pause ends at once, and the old handler is restored."""
    before = signal.getsignal(number)
    stop = StopFlag()
    with stop_on_signals(stop):
        os.kill(os.getpid(), number)
        stop.pause(3600)  # longer than pytest gives a test
        assert stop.is_set
    assert signal.getsignal(number) is before
