"""Two weeks of a made-up welding cell: the plan, its frames, its camera, and the clock.

Nobody waits two weeks for a first report, so the *times* are made up: the station's daemon runs with a clock
that is set to each weld's time while the camera delivers its frames. Files, verdicts and rows are real.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from itertools import groupby
from pathlib import Path

from inspector.station.service import StopFlag
from trainer.synthetic.frames import CLASSES, SyntheticFrame, run_frames

SHIFTS = {"early": 6, "late": 14}  # name and first hour (UTC), as in the station's default settings
WORKING_DAYS = (0, 1, 2, 3, 4, 7, 8, 9, 10, 11)  # from the first Monday
WELDS, SHOTS = 6, 2  # welds in a shift, frames of a weld: 240 frames in all, inspected in half a minute
# From Tuesday's late shift to Thursday's early one in the second week the wire feed stutters.
FAULT = ((8, "late"), (9, "early"), (9, "late"), (10, "early"))
FAULTY_WELDS, FAULT_LABEL = 5, CLASSES.index("lack_of_fusion")  # of six: clear in a shift of twelve frames
DEFECTIVE_SHIFTS = 0.75  # share of the other shifts with one defective weld of six
LONGEST_S = 120  # seconds for a shift's dozen frames, also on a busy machine


@dataclass(frozen=True)
class Weld:
    """One weld: when it is made, in which shift, and its true class."""

    number: int
    at: datetime
    day: int  # from the first Monday
    shift: str
    label: int  # index in CLASSES

    @property
    def is_in_fault(self) -> bool:
        """Whether the wire feed stutters during this shift."""
        return (self.day, self.shift) in FAULT


def first_monday(today: date) -> date:
    """Return the Monday of the week before last: the two weeks are over, whatever the day is."""
    return today - timedelta(days=today.weekday() + 14)


def plan(monday: date, seed: int) -> list[Weld]:
    """Return the welds of two weeks of early and late shifts, in the order of time."""
    rng, welds = random.Random(seed), list[Weld]()
    for day in WORKING_DAYS:
        for shift, hour in SHIFTS.items():
            begin = datetime(monday.year, monday.month, monday.day, hour, 20, tzinfo=UTC) + timedelta(
                days=day
            )
            labels = [0] * WELDS  # good welds
            if (day, shift) in FAULT:
                labels[1:] = [FAULT_LABEL] * FAULTY_WELDS
            elif rng.random() < DEFECTIVE_SHIFTS:
                labels[rng.randrange(WELDS)] = rng.randrange(1, len(CLASSES))
            for slot, label in enumerate(labels):
                welds.append(Weld(len(welds), begin + slot * timedelta(minutes=70), day, shift, label))
    return welds


def frames(welds: Iterable[Weld], seed: int) -> Iterator[SyntheticFrame]:
    """Draw the frames of the welds, two for each, with the camera's time in their names."""
    for weld in welds:
        for frame in run_frames(weld.label, weld.number, SHOTS, seed):
            at = weld.at + timedelta(seconds=frame.index)
            yield replace(frame, name=f"{frame.run}_{at:%Y%m%dT%H%M%S}.png")


class Clock:
    """A clock that goes on from the time it is set to. The camera sets it, the daemon reads it."""

    def __init__(self, at: datetime) -> None:
        self.was_read = False
        self.set(at)

    def set(self, at: datetime) -> None:
        """Go on from this time."""
        self._ahead_us = round(at.timestamp() * 1e6) - time.time_ns() // 1000

    def now_us(self) -> int:
        """UTC epoch microseconds. The daemon first asks when it scans the drop folder, ready for work."""
        self.was_read = True
        return time.time_ns() // 1000 + self._ahead_us


class Camera(threading.Thread):
    """A camera that writes each weld's frames at the weld's time, and stops the station in the end.

    Args:
        welds: with the files of their frames, in the order of time.
        drop: the folder to write into.
        clock: is set to the time of each weld.
        stop: stops the station; if it is set before the end, the station has failed.
    """

    def __init__(
        self,
        welds: Sequence[tuple[Weld, list[Path]]],
        drop: Path,
        clock: Clock,
        stop: StopFlag,
    ) -> None:
        super().__init__(daemon=True)
        self._welds, self._drop, self._clock, self._stop_flag = welds, drop, clock, stop
        self.dropped = 0
        self.trouble: str | None = None

    def run(self) -> None:
        """Deliver all frames, then the broken ones, then one frame again."""
        try:
            self._wait(lambda: self._clock.was_read)  # the first frames do not wait for the network to load
            for _, shift in groupby(self._welds, key=lambda each: (each[0].day, each[0].shift)):
                for weld, files in shift:
                    self._clock.set(weld.at)
                    for file in files:
                        self._write(file.name, file.read_bytes())
                self._wait(self._is_empty)  # so that each frame counts in its own shift
            sound = self._welds[0][1][0]
            for name, content in broken(sound.read_bytes()).items():
                self._write(name, content)
            self._write(sound.name, sound.read_bytes())  # delivered twice
            self._wait(self._is_empty)
        except (OSError, TimeoutError) as error:
            self.trouble = str(error)
        finally:
            self._stop_flag.set()

    def _write(self, name: str, content: bytes) -> None:
        (self._drop / name).write_bytes(content)
        self.dropped += 1

    def _is_empty(self) -> bool:
        return not any(self._drop.iterdir())

    def _wait(self, holds: Callable[[], bool]) -> None:
        """Wait for the station."""
        until = time.monotonic() + LONGEST_S
        while not holds():
            if self._stop_flag.is_set:
                raise TimeoutError("the station was stopped before it had inspected everything")
            if time.monotonic() > until:
                raise TimeoutError(f"waited {LONGEST_S} s for the station; see the lines above")
            time.sleep(0.01)


def broken(sound: bytes) -> dict[str, bytes]:
    """Return files that no station can inspect, made from a sound one."""
    return {
        "truncated.png": sound[: len(sound) // 2],
        "empty.png": b"",
        "zero-filled.png": bytes(len(sound)),
        "really-a-text.png": b"a camera's log file under a wrong name\n",
    }
