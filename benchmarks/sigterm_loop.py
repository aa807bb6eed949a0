"""SIGTERM to a station under load, again and again: each exit 0 within 10 s, and every file accounted for.

The drop folder is kept filled, so that the daemon always has more than it can do; in each round a fresh one
is stopped at a random moment after its first image. Run it with ``make sigterm-loop``; the artifact is the
demo's, the frames are noise.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
from PIL import Image

ARTIFACT = Path(__file__).parents[1] / "deploy" / "demo" / "weldnet-synthetic.pt"
LONGEST_S = 10.0  # the measure
CONFIG = "station: loop\nartifact: {artifact}\nsettle_s: 0.1\ngive_up_s: 1\nscan_s: 1\n"


def main() -> None:
    """Stop a loaded station ``--rounds`` times and print what was seen; exit 1 where anything was lost."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--waiting", type=int, default=150, help="files that the folder is kept filled to")
    parser.add_argument("--artifact", type=Path, default=ARTIFACT)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="weldnet-sigterm-") as folder:
        figures = loop(Path(folder), options.rounds, options.waiting, options.artifact.resolve())
    sys.stdout.write(json.dumps(figures) + "\n")
    lost = figures["sent"] - figures["inspected"]
    sys.exit(bool(lost or figures["unaccounted"] or figures["longest_s"] > LONGEST_S or figures["not_zero"]))


def loop(folder: Path, rounds: int, waiting: int, artifact: Path) -> dict[str, float]:
    """Figures of all rounds; ``exit`` times are seconds from the signal to the process's end."""
    (folder / "drop").mkdir()
    config = folder / "config.yaml"
    config.write_text(CONFIG.format(artifact=artifact))
    command("migrate", config)
    chance, exits, statuses, in_flight = random.Random(0), [], [], []
    camera = Camera(folder / "drop", waiting)
    try:
        for number in range(rounds):
            done = archived(folder)
            words = [*program("run"), "--config", str(config)]
            daemon = subprocess.Popen(words, stderr=subprocess.PIPE)  # noqa: S603 - our own program
            while archived(folder) == done and daemon.poll() is None:
                time.sleep(0.02)
            time.sleep(chance.uniform(0, 1))
            began = time.monotonic()
            daemon.send_signal(signal.SIGTERM)
            log = daemon.communicate()[1].decode()
            exits.append(time.monotonic() - began)
            statuses.append(daemon.returncode)
            in_flight.append(sum(1 for _ in (folder / "drop").iterdir()))
            told = (
                f"round {number}: status {daemon.returncode} after {exits[-1]:.2f} s, {in_flight[-1]} waiting"
            )
            sys.stderr.write(f"{told}\n{log if daemon.returncode else ''}")
    finally:
        camera.stop()
    command("once", config)
    told = json.loads(command("reconcile", config, "--json"))
    return {
        "rounds": rounds,
        "not_zero": sum(status != 0 for status in statuses),
        "median_s": round(statistics.median(exits), 3),
        "longest_s": round(max(exits), 3),
        "waiting_at_exit_median": statistics.median(in_flight),
        "sent": camera.sent,
        "inspected": told["inspected"],
        "duplicates": told["duplicates"],
        "unaccounted": told["unaccounted"],
    }


class Camera:
    """Fills the folder up with new frames, again and again, until stopped."""

    def __init__(self, drop: Path, waiting: int) -> None:
        self.sent = 0
        self._drop, self._waiting = drop, waiting
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._write_on)
        self._thread.start()

    def stop(self) -> None:
        """Write no more."""
        self._ended.set()
        self._thread.join()

    def _write_on(self) -> None:
        while not self._ended.wait(0.02):  # s
            for _ in range(self._waiting - sum(1 for _ in self._drop.iterdir())):
                pixels = np.random.default_rng(self.sent).integers(0, 256, (487, 400), dtype=np.uint8)
                Image.fromarray(pixels).save(self._drop / f"w{self.sent}.bmp")
                self.sent += 1


def archived(folder: Path) -> int:
    """Files in the archive."""
    return sum(path.is_file() for path in (folder / "archive").rglob("*"))


def command(name: str, config: Path, *words: str) -> str:
    """Run a command that has to succeed; its output."""
    whole = [*program(name), *words, "--config", str(config)]
    return subprocess.run(whole, check=True, capture_output=True, text=True).stdout  # noqa: S603 - our own


def program(name: str) -> list[str]:
    """The installed program beside this Python."""
    return [str(Path(sys.executable).parent / "weld-inspect"), name]


if __name__ == "__main__":
    main()
