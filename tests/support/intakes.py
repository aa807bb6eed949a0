"""An intake with a clock of its own, for tests that let time pass in steps."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from pathlib import Path

from waiting import HANG_S

from inspector.records import Arrival
from inspector.station.events import Events
from inspector.station.intake import Intake

SETTLE_S, GIVE_UP_S, SCAN_S = 0.5, 10.0, 2.0
_numbers = itertools.count()
OLD_S = 600.0  # a minute is enough, but real time passes as well before a test writes its file


class Clock:
    """Time that passes only in the test's own steps; the wall clock starts at the real time, as ctimes do."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.epoch_us = time.time_ns() // 1000

    def monotonic(self) -> float:
        """Seconds."""
        return self.now

    def wall_us(self) -> int:
        """UTC epoch microseconds."""
        return self.epoch_us + round((self.now - 1000.0) * 1e6)


def open_intake(
    drop: Path,
    clock: Clock,
    *,
    only_first_scan: bool = False,
    subfolders: bool = False,
    ignore: Sequence[str] = (),
) -> Intake:
    """An intake with the test's clock, not entered yet."""
    return Intake(
        drop,
        Events(),
        settle_s=SETTLE_S,
        give_up_s=GIVE_UP_S,
        scan_s=SCAN_S,
        only_first_scan=only_first_scan,
        subfolders=subfolders,
        ignore=ignore,
        monotonic=clock.monotonic,
        wall_us=clock.wall_us,
    )


def names(arrivals: list[Arrival]) -> list[str]:
    """Source names, in order."""
    return [arrival.source_name for arrival in arrivals]


def take_after_events(intake: Intake, count: int = 1) -> list[Arrival]:
    """Take files that become ready by inotify alone, while the intake's clock does not move."""
    taken: list[Arrival] = []
    deadline = time.monotonic() + HANG_S
    while len(taken) < count and time.monotonic() < deadline:
        intake.wait(0.02)
        taken += intake.take(count - len(taken))
    return taken


def let_events_arrive(intake: Intake, drop: Path) -> None:
    """Wait until all earlier events have been reported: a marker file comes last."""
    marker = drop / "marker.png"
    marker.write_bytes(b"x")
    [arrival] = take_after_events(intake)
    assert arrival.path == marker
    marker.unlink()
    intake.release(arrival)


def take_all(intake: Intake, clock: Clock, most: int) -> list[str]:
    """Take, remove and release all files; at most ``most`` are known by name at any time."""
    taken = []
    for _ in range(10_000):
        assert len(intake._files) <= most
        arrivals = intake.take(7)
        if not arrivals and not intake.pending():
            return taken
        for arrival in arrivals:
            arrival.path.unlink()
            intake.release(arrival)
            taken.append(arrival.source_name)
        clock.now += 0.1
    raise AssertionError("it never ends")


def let_events_arrive_somehow(intake: Intake, count: int) -> None:
    """Wait until so many files are counted, while the intake's clock does not move."""
    deadline = time.monotonic() + HANG_S
    while intake.pending() < count and time.monotonic() < deadline:
        intake.wait(0.02)
        intake.take(0)


def let_all_closes_arrive(intake: Intake, drop: Path) -> None:
    """Wait until a new file of another name has been reported, without a look at ready files."""
    name = f"last{next(_numbers)}.png"
    (drop / name).write_bytes(b"last")
    deadline = time.monotonic() + HANG_S
    while name not in intake._files and time.monotonic() < deadline:
        intake.wait(0.02)
        intake.take(0)
    (drop / name).unlink()
    intake._next_scan = 0.0  # which forgets the file
    intake.take(0)
    assert name not in intake._files
