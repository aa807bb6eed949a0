"""The watchdog is fed by progress: one stage of a real daemon is stopped for real, and the pings end.

The worker is stopped by ptrace, which halts single threads of another process while all other threads run.
The recorder is stopped by a write lock on the SQLite file. Another connection holds it for longer than the
watchdog's time, and for less than SQLite's 30 s, after which it would be an outage that is waited out.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from managers import Manager, manager, running, wait_until
from sqlalchemy.engine import URL
from stations import Station
from waiting import wait_for

from inspector.ledger import database

_SEIZE, _INTERRUPT, _DETACH = 0x4206, 0x4207, 17  # <sys/ptrace.h>
_WATCHDOG_S = 1.0
_ALL_THREADS = 0x40000000  # __WALL: wait for a thread, too

_libc = ctypes.CDLL(None, use_errno=True)


@pytest.fixture
def station(tmp_path: Path, tiny: Path, url_of: Callable[[str], URL]) -> Station:
    """A station whose pool has a single worker."""
    return Station(tmp_path, tiny, url_of("sqlite"), threads=1)


@contextmanager
def watched(station: Station, systemd: Manager) -> Iterator[subprocess.Popen[str]]:
    """A ready daemon under a watchdog of 1 s."""
    environment = {"NOTIFY_SOCKET": str(systemd.path), "WATCHDOG_USEC": str(round(_WATCHDOG_S * 1e6))}
    with running(station.start(**environment)) as daemon:
        systemd.expect("READY=1")
        yield daemon


def wait_for_silence(systemd: Manager) -> None:
    """Wait until no ping comes for three times the watchdog's time; it is fed every half of it otherwise."""
    wait_for(lambda: "WATCHDOG=1" not in systemd.listen(3 * _WATCHDOG_S))


def threads(process: int) -> set[int]:
    """Thread ids of a process."""
    return {int(path.name) for path in Path(f"/proc/{process}/task").iterdir()}


@contextmanager
def stopped(workers: set[int]) -> Iterator[None]:
    """Halt these threads of another process within the block."""
    _libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    assert workers
    for thread in workers:
        if _libc.ptrace(_SEIZE, thread, None, None) != 0:
            pytest.skip(f"ptrace is not allowed here: {os.strerror(ctypes.get_errno())}")
        assert _libc.ptrace(_INTERRUPT, thread, None, None) == 0
        os.waitpid(thread, _ALL_THREADS)
    yield
    for thread in workers:  # if the test fails, the kernel releases them with our process
        assert _libc.ptrace(_DETACH, thread, None, None) == 0


def test_a_stuck_worker_stops_the_pings_and_an_idle_one_does_not(station: Station, tmp_path: Path):
    """Idle pings go on; with work for a halted worker they end; they return when it goes on."""
    with manager(tmp_path) as systemd, watched(station, systemd) as daemon:
        before = threads(daemon.pid)
        station.put("first.png", seed=1)
        wait_until(station.is_idle, daemon)
        workers = threads(daemon.pid) - before  # the pool's, and what torch has started from it
        for _ in range(4):
            systemd.expect("WATCHDOG=1")
        with stopped(workers):
            for _ in range(4):  # halted, but there is nothing to do: idle
                systemd.expect("WATCHDOG=1")
            station.put("second.png", seed=2)
            wait_for_silence(systemd)
        systemd.expect("WATCHDOG=1")
        wait_until(station.is_idle, daemon)
    assert len(station.rows("SELECT id FROM inspection")) == 2


def test_a_stuck_recorder_stops_the_pings(station: Station, tmp_path: Path):
    """While another program holds the database's write lock nothing is recorded, and no ping is sent."""
    with manager(tmp_path) as systemd, watched(station, systemd) as daemon:
        systemd.expect("WATCHDOG=1")
        engine = database.immediate(database.engine(station.url))
        with engine.begin():  # BEGIN IMMEDIATE: the write lock
            station.put("w.png", seed=1)
            wait_for_silence(systemd)
        engine.dispose()
        systemd.expect("WATCHDOG=1")
        wait_until(station.is_idle, daemon)
    assert len(station.rows("SELECT id FROM inspection")) == 1
