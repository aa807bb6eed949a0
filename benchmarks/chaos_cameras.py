"""Trouble made by cameras alone: every way to write a file, and names that are used again at once."""

from __future__ import annotations

import contextlib
import itertools
import random
import re
from collections.abc import Iterator
from pathlib import Path

import audit
from camera import FORMATS, WAYS, Frame, encoded, frames, in_place, renamed
from chaos_leg import Leg, Scenario
from rig import Rig

NAMES = 4  # used again and again
FILES = 100  # per round


def writers(leg: Leg) -> None:
    """Write in every way at once, one camera per way, while the daemon is killed from time to time.

    A restarted daemon has not seen which files are still open. It must wait until a file has not changed for
    longer than the cameras pause.
    """
    with leg.station(settle_s=3) as rig, contextlib.ExitStack() as stack:
        cameras = [
            stack.enter_context(leg.camera(rig, source=frames(leg.seed + number, f"{name}-"), write=way))
            for number, (name, way) in enumerate(WAYS.items())
        ]
        rig.launch_ready()
        for _ in leg.each_round():
            leg.pause(6.0)
            rig.kill()
            leg.check_dead(rig, *cameras)
            rig.launch_ready()
        for camera in cameras:
            camera.stop()
        rig.wait_until_idle()
        rig.stop()
        leg.check_idle(rig, (delivery for camera in cameras for delivery in camera.sent))


def same_name(leg: Leg) -> None:
    """Give a name new bytes as soon as its file is taken, milliseconds after the bytes before."""
    with leg.station() as rig:
        rig.launch_ready()
        source = _successors(rig.drop, leg)
        with leg.camera(rig, source=source, per_second=10_000) as camera:
            rig.wait_for(lambda: camera.is_done, "the camera was done", longest_s=3600)
        rig.wait_until_idle()
        rig.stop()
        leg.check_idle(rig, camera.sent)


def _successors(drop: Path, leg: Leg) -> Iterator[Frame]:
    chance = random.Random(leg.seed)
    for number in _numbers(leg):
        suffix = chance.choice(list(FORMATS))
        content = encoded(leg.seed * 1_000_000 + number, suffix)
        for name in itertools.cycle(f"again{n}.png" for n in range(NAMES)):
            if not (drop / name).exists():
                yield name, content
                break


def overwrite(leg: Leg) -> None:
    """Overwrite files whether they were taken or not, in place and by renames.

    Bytes that the camera destroys before they were judged are its own loss. Judged bytes must be in the
    archive, and the last bytes of each name must have been judged.
    """
    chance = random.Random(leg.seed)

    def write(path: Path, content: bytes) -> None:
        chance.choice((in_place, renamed))(path, content)

    def versions() -> Iterator[Frame]:
        for number in _numbers(leg):
            suffix = chance.choice(list(FORMATS))
            yield f"over{chance.randrange(NAMES)}.png", encoded(leg.seed * 1_000_000 + number, suffix)

    with leg.station() as rig:
        rig.launch_ready()
        with leg.camera(rig, source=versions(), write=write, per_second=50, overwrite=True) as camera:
            rig.wait_for(lambda: camera.is_done, "the camera was done", longest_s=3600)
        rig.wait_until_idle()
        rig.stop()
        judged = audit.recorded(rig)
        newest = {delivery.name: delivery for delivery in camera.sent}
        kept = [one for one in camera.sent if one in judged or newest[one.name] == one]
        leg.counts["overwritten unjudged"] += len(camera.sent) - len(kept)
        leg.counts["of them in events"] += _reported(rig)
        leg.check_idle(rig, kept)


def _reported(rig: Rig) -> int:
    """The number of files that events call overwritten before they were read."""
    details = (row.detail for row in rig.rows("SELECT detail FROM event WHERE kind = 'overwritten'"))
    times = (re.search(r"written again (\d+) times", detail) for detail in details)
    return sum(int(found[1]) if found else 1 for found in times)


def _numbers(leg: Leg) -> Iterator[int]:
    for round_ in leg.each_round():
        yield from range(round_ * FILES, (round_ + 1) * FILES)


SCENARIOS = {
    "overwrite": Scenario(overwrite, "100 files written over at any moment", 20, 10),
    "writers": Scenario(writers, "kill -9 beside seven ways to write", 30, 15),
    "same-name": Scenario(same_name, "100 files under names just taken", 20, 10),
}
