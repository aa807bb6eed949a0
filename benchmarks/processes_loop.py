"""Trainings of two processes, again and again: each has to end with status 0.

Each round trains a tiny recipe on synthetic frames, from the beginning to the artifact. Such a training is in
danger when it ends: a thread of the process group that is still at work then aborts its process. A failed
round prints what the training wrote. Run it with ``make processes-loop``.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer
from rig import work_folder

TINY = {
    "network.height": 80,
    "network.width": 80,
    "network.grow": 16,
    "network.stem": 8,
    "network.plan": [[1, 1], [2, 2]],
    "ensemble.teachers": 1,
    "training.batch_size": 8,
    "training.epochs": 1,
    "distillation.epochs": 1,
}


def main(
    rounds: Annotated[int, typer.Option(min=1)] = 100,
    devices: Annotated[int, typer.Option(min=2, help="processes of each training")] = 2,
) -> None:
    """Train ``--rounds`` times and print how often each exit status came; exit 1 unless all were 0."""
    statuses: Counter[int] = Counter()
    seconds = []
    with work_folder("processes") as folder:
        data = folder / "data"
        subprocess.run([*weld_train(), "synth", "--out", data, "--count", "24"], check=True)
        for number in range(rounds):
            began = time.monotonic()
            done = train(data, folder / f"run-{number}", devices)
            seconds.append(time.monotonic() - began)
            statuses[done.returncode] += 1
            sys.stderr.write(f"round {number}: status {done.returncode} after {seconds[-1]:.1f} s\n")
            if done.returncode:
                sys.stderr.write(done.stderr)
    result = {"rounds": rounds, "statuses": statuses, "median_s": round(statistics.median(seconds), 1)}
    sys.stdout.write(json.dumps(result) + "\n")
    raise typer.Exit(statuses[0] != rounds)


def train(data: Path, out: Path, devices: int) -> subprocess.CompletedProcess[str]:
    """One whole training."""
    changes = [word for key, value in TINY.items() for word in ("--set", f"{key}={json.dumps(value)}")]
    processes = ["--devices", str(devices), "--accelerator", "cpu"]
    command = [
        *weld_train(),
        "run",
        "synthetic",
        "--data",
        data,
        "--out",
        out,
        *changes,
        *processes,
        "--json",
    ]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def weld_train() -> list[str]:
    """The trainer's program, of this checkout."""
    return [sys.executable, "-m", "trainer.commands.cli"]


if __name__ == "__main__":
    typer.run(main)
