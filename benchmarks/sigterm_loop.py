"""Stop a loaded station with SIGTERM many times: each exit with 0 within 10 s, and every file accounted for.

The drop folder is kept full, so that the daemon always has more files than it can process. In each round, a
new daemon is stopped at a random moment after its first image. Run it with ``make sigterm-loop``. The
artifact is the demo's and the frames are noise.
"""

from __future__ import annotations

import itertools
import json
import random
import statistics
import sys
import time
from pathlib import Path
from typing import Annotated

import audit
import typer
from camera import Camera, encoded
from rig import DEMO, Rig, databases, work_folder

MAX_EXIT_S = 10.0  # the bound that the project has set itself


def main(
    rounds: Annotated[int, typer.Option(min=1)] = 50,
    waiting: Annotated[int, typer.Option(min=1, help="number of files that are kept waiting")] = 150,
    artifact: Annotated[Path, typer.Option()] = DEMO,
) -> None:
    """Stop a loaded station ``--rounds`` times and print the figures; exit with 1 if anything is wrong."""
    with work_folder("sigterm") as folder, databases("sqlite", folder) as url:
        patience = {"settle_s": 0.1, "give_up_s": 1, "scan_s": 1}
        with Rig(folder / "station", artifact.resolve(), url, station="loop", **patience) as rig:
            figures = loop(rig, rounds, waiting)
    sys.stdout.write(json.dumps(figures) + "\n")
    raise typer.Exit(bool(figures["problems"] or figures["longest_s"] > MAX_EXIT_S))


def loop(rig: Rig, rounds: int, waiting: int) -> dict[str, float]:
    """Run all rounds and return their figures; ``exit`` times run from the signal to the process's end."""
    chance, exits, in_flight = random.Random(0), [], []
    source = ((f"w{number}.bmp", encoded(number, "bmp", 487, 400)) for number in itertools.count())
    with Camera(rig.drop, source, waiting=waiting, per_second=1000) as camera:
        for number in range(rounds):
            done = rig.archived()
            rig.launch()
            rig.wait_for(lambda n=done: rig.archived() > n, "its first image")
            time.sleep(chance.uniform(0, 1))
            began = time.monotonic()
            rig.stop()
            exits.append(time.monotonic() - began)
            in_flight.append(rig.waiting())
            sys.stderr.write(f"round {number}: ended after {exits[-1]:.2f} s, {in_flight[-1]} waiting\n")
    rig.drain()
    found = audit.of_an_idle_station(rig, camera.sent)
    return {
        "rounds": rounds,
        "median_s": round(statistics.median(exits), 3),
        "longest_s": round(max(exits), 3),
        "waiting_at_exit_median": statistics.median(in_flight),
        "sent": found.sent,
        "inspected": found.inspected,
        "duplicates": found.duplicates,
        "problems": len(found.problems),
    }


if __name__ == "__main__":
    typer.run(main)
