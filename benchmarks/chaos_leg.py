"""What every chaos scenario is given: a seed, rounds to count, stations to harm, and a place for findings."""

from __future__ import annotations

import contextlib
import random
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import audit
from audit import Audit
from camera import Camera, Frame, Sent, Write, frames
from rig import Rig, databases


class Violated(Exception):
    """Something was lost, doubled or changed; the leg ends here, so that the evidence stands."""


class Skipped(Exception):
    """This machine does not allow the fault (no root, no mounts)."""


@dataclass
class Leg:
    """One run of a scenario: with the same seed and rounds it does the same again.

    Args:
        seed: of everything random in it.
        rounds: how many faults.
        folder: for stations and databases.
        artifact: what judges.
        advance: told of each round that is over.
    """

    seed: int
    rounds: int
    folder: Path
    artifact: Path
    advance: Callable[[], None]
    last: dict[str, Audit] = field(default_factory=dict)  # the newest of each station
    counts: Counter[str] = field(default_factory=Counter)  # what happened, for the table
    problems: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)

    def each_round(self) -> Iterator[int]:
        """Numbers of the rounds; the progress bar moves after each."""
        for number in range(self.rounds):
            yield number
            self.advance()

    @contextlib.contextmanager
    def station(self, backend: str = "sqlite", **settings: Any) -> Iterator[Rig]:
        """A station of its own with a database of its own."""
        with (
            databases(backend, self.folder) as url,
            Rig(self.folder / "station", self.artifact, url, **settings) as rig,
        ):
            yield rig

    def camera(
        self, rig: Rig, *, source: Iterator[Frame] | None = None, write: Write | None = None, **pace: Any
    ) -> Camera:
        """A camera at a station, with this leg's frames unless told otherwise."""
        return Camera(rig.drop, source or frames(self.seed), write=write, **pace)

    def pause(self, longest_s: float) -> None:
        """A random moment."""
        time.sleep(self.chance.uniform(0, longest_s))

    def check_dead(self, rig: Rig, *cameras: Camera) -> None:
        """While no daemon runs; the cameras are held for as long."""
        with contextlib.ExitStack() as held:
            for one in cameras:
                held.enter_context(one.lock)
            sent = (delivery for camera in cameras for delivery in camera.sent)
            self._note(rig, audit.of_a_dead_station(rig, sent))

    def check_idle(self, rig: Rig, sent: Iterable[Sent]) -> None:
        """At the end, when all is taken and the cameras are stopped."""
        self._note(rig, audit.of_an_idle_station(rig, sent))

    def _note(self, rig: Rig, result: Audit) -> None:
        self.last[rig.name] = result
        self.problems.extend(result.problems)
        if result.problems:
            raise Violated(f"{len(result.problems)} problems; logs and files stay in {self.folder}")


class Scenario(NamedTuple):
    """One kind of fault: ``rounds`` of it in all, in legs of at most ``leg`` with a seed and station each."""

    run: Callable[[Leg], None]
    fault: str
    rounds: int
    leg: int
