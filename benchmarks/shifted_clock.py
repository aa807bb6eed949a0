"""A station whose programs read a wall clock that is some seconds away from the machine's.

libfaketime (Debian's package ``faketime``) shifts it, also while the daemon runs. Durations and the kernel's
times of files stay as they are.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Final

from rig import Rig
from sqlalchemy.engine import URL

_LIBRARIES: Final = ("usr/lib/*/faketime/libfaketimeMT.so.1", "usr/lib*/faketime/libfaketimeMT.so.1")


def library() -> Path | None:
    """Return the library that shifts the clock; None if it is not installed."""
    return next((path for pattern in _LIBRARIES for path in Path("/").glob(pattern)), None)


class ShiftedRig(Rig):
    """A station whose daemon and commands read a shifted clock.

    Args:
        folder: the station's folder.
        artifact: the artifact that judges the images.
        url: the database.
        shifter: the library that shifts the clock.
        clock: the file that holds how far it is shifted.
        settings: replacements for single settings.
    """

    def __init__(
        self, folder: Path, artifact: Path, url: URL, *, shifter: Path, clock: Path, **settings: Any
    ) -> None:
        self._library, self._file = shifter, clock
        self.periods: list[tuple[float, float]] = []  # (beginning in the machine's time, seconds away)
        self.set(0)
        super().__init__(folder, artifact, url, **settings)

    def _program(self) -> list[str]:
        settings = {
            "LD_PRELOAD": self._library,
            "FAKETIME_TIMESTAMP_FILE": self._file,
            "FAKETIME_NO_CACHE": 1,
            "FAKETIME_DONT_FAKE_MONOTONIC": 1,
            "NO_FAKE_STAT": 1,
        }
        return ["env", *(f"{name}={value}" for name, value in settings.items()), *super()._program()]

    def set(self, away_s: float) -> None:
        """Let the clock jump, for programs that run and for those that start later."""
        new = self._file.with_name("clock.new")
        new.write_text(f"{away_s:+.3f}\n")
        self.periods.append((time.time(), away_s))
        new.rename(self._file)

    def now(self) -> float:
        """The station's time."""
        return time.time() + self.away_s

    @property
    def away_s(self) -> float:
        """How far the clock is from the machine's."""
        return self.periods[-1][1]
