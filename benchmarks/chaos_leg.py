"""One leg of a chaos scenario: its seed, rounds, stations and cameras, and the problems found."""

from __future__ import annotations

import contextlib
import random
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import audit
from audit import Audit
from camera import Camera, Frame, Sent, Write, frames
from rig import Rig, databases


class Violated(Exception):
    """A file was lost, doubled or changed; the leg ends here, so that the evidence is kept."""


class Skipped(Exception):
    """This machine does not allow the fault (no root, no mounts)."""


@dataclass
class Leg:
    """One run of a scenario; the same seed and rounds repeat it.

    Args:
        seed: the seed of everything random in it.
        rounds: the number of faults.
        folder: the folder for stations and databases.
        artifact: the artifact that judges the images.
        advance: called after each round.
    """

    seed: int
    rounds: int
    folder: Path
    artifact: Path
    advance: Callable[[], None]
    last: dict[str, Audit] = field(default_factory=dict)  # the newest audit of each station
    counts: Counter[str] = field(default_factory=Counter)  # events that happened, for the output
    problems: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)

    def each_round(self) -> Iterator[int]:
        """The numbers of the rounds; the progress bar moves after each."""
        for number in range(self.rounds):
            yield number
            self.advance()

    @contextlib.contextmanager
    def station(self, backend: str = "sqlite", **settings: Any) -> Iterator[Rig]:
        """A new station with its own database."""
        with (
            databases(backend, self.folder) as url,
            Rig(self.folder / "station", self.artifact, url, **settings) as rig,
        ):
            yield rig

    def camera(
        self, rig: Rig, *, source: Iterator[Frame] | None = None, write: Write | None = None, **pace: Any
    ) -> Camera:
        """A camera at a station; default: with this leg's frames."""
        return Camera(rig.drop, source or frames(self.seed), write=write, **pace)

    def pause(self, longest_s: float) -> None:
        """Sleep for a random time of at most ``longest_s`` seconds."""
        time.sleep(self.chance.uniform(0, longest_s))

    def check_dead(self, rig: Rig, *cameras: Camera) -> None:
        """Audit while no daemon runs; the cameras pause meanwhile."""
        with contextlib.ExitStack() as held:
            for one in cameras:
                held.enter_context(one.lock)
            sent = (delivery for camera in cameras for delivery in camera.sent)
            self.note(rig, audit.of_a_dead_station(rig, sent))

    def check_idle(self, rig: Rig, sent: Iterable[Sent]) -> None:
        """Audit at the end, after all files were taken and the cameras stopped."""
        self.note(rig, audit.of_an_idle_station(rig, sent))

    def note(self, rig: Rig, result: Audit) -> None:
        """Keep the result of an audit.

        Raises:
            Violated: it found a problem.
        """
        self.last[rig.name] = result
        self.check(result.problems)

    def check(self, problems: Sequence[tuple[str, str]]) -> None:
        """Keep problems that were found.

        Raises:
            Violated: there are some.
        """
        self.problems.extend(problems)
        if problems:
            raise Violated(f"{len(problems)} problems; see logs and files in {self.folder}")


class Scenario(NamedTuple):
    """One kind of fault: ``rounds`` in total, in legs of at most ``leg`` rounds with their own seed."""

    run: Callable[[Leg], None]
    fault: str
    rounds: int
    leg: int
