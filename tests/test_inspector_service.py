"""The daemon's ties to systemd and to signals, over a real socket and with real signals."""

import os
import signal
import socket
import time

import pytest

from inspector.service import Notifier, StopFlag, stop_on_signals


@pytest.fixture
def manager(tmp_path, monkeypatch):
    """A stand-in for systemd's notify socket."""
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
    """READY, STATUS and STOPPING arrive as datagrams, in the order they were sent."""
    notifier = Notifier()
    notifier.ready()
    notifier.status("3 inspected")
    notifier.stopping()
    assert _heard(manager) == ["READY=1", "STATUS=3 inspected", "STOPPING=1"]


def test_an_unchanged_status_is_not_repeated(manager):
    """The loop may say its status every round; the manager hears it once."""
    notifier = Notifier()
    notifier.status("idle")
    notifier.status("idle")
    assert _heard(manager) == ["STATUS=idle"]


def test_the_watchdog_is_fed_at_half_its_time(manager, monkeypatch):
    """Two rounds close together feed the watchdog once; without WATCHDOG_USEC it is never fed."""
    monkeypatch.setenv("WATCHDOG_USEC", "60000000")
    fed = Notifier()
    fed.alive()
    fed.alive()
    monkeypatch.delenv("WATCHDOG_USEC")
    Notifier().alive()
    assert _heard(manager) == ["WATCHDOG=1"]


def test_nothing_is_sent_without_a_manager(monkeypatch):
    """Run by hand, where nobody listens, and where the manager has gone, the daemon goes on."""
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    Notifier().ready()
    monkeypatch.setenv("NOTIFY_SOCKET", "/nowhere/notify")
    Notifier().ready()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_sets_the_flag_and_ends_a_pause(number):
    """A real signal sets the flag, a long pause is over at once, and the old handler comes back."""
    before = signal.getsignal(number)
    stop = StopFlag()
    with stop_on_signals(stop):
        os.kill(os.getpid(), number)
        began = time.monotonic()
        stop.pause(60)
        assert stop.is_set
        assert time.monotonic() - began < 30
    assert signal.getsignal(number) is before
