"""A demonstration on synthetic frames: a camera drops files, the real daemon inspects them, reports follow.

Run it with ``make demo``. It prints each command, so that you can run them by hand.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).resolve().parent
STATION = Path("demo")  # in the current folder; created again by each run
FRAMES = 240  # six classes with 40 frames each: enough for useful reports, and done in a minute
SEED = 2026  # another seed than that of the frames that the demo's network was trained on

CONFIG = """\
station: demo-cell
artifact: {artifact}
name_pattern: '(?P<camera>cam\\d+)_part-(?P<part>\\d+)_seam-(?P<seam>\\d+)_(?P<time>\\w+)\\.'
give_up_s: 2 # seconds: the demo's broken files stay broken
"""


def main() -> None:
    """Make frames, start the daemon, drop the frames, stop the daemon, print the reports."""
    config = STATION / "config.yaml"
    if STATION.exists():
        if not config.exists() or "station: demo-cell" not in config.read_text():
            sys.exit(f"{STATION.resolve()} is not an earlier demo; move it away, the demo would overwrite it")
        shutil.rmtree(STATION)
    (STATION / "drop").mkdir(parents=True)
    # Other users may be able to write to a checkout. A station refuses such settings; the demo accepts them.
    os.environ["WELD_OTHERS_MAY_WRITE"] = "true"
    config.write_text(CONFIG.format(artifact=HERE / "weldnet-synthetic.pt"))

    headline("1. A camera's images (synthetic), and a network that was trained on such images")
    say("This network was trained on synthetic frames only. Never judge a real weld with it.")
    command("weld-train", "synth", "--out", STATION / "camera", "--count", FRAMES, "--seed", SEED)

    headline("2. The station: a database, a check of everything, the daemon")
    command("weld-inspect", "migrate", "--config", config)
    command("weld-inspect", "check", "--config", config)
    daemon = start("weld-inspect", "run", "--config", config)
    try:
        wait_until("it is ready", lambda: bool(ask("SELECT id FROM event WHERE kind = 'start'")), daemon)
        headline("3. The camera drops its images; some are broken on purpose, and one is delivered twice")
        frames = sorted((STATION / "camera").glob("*/*/*.png"), key=taken_at)
        dropped = drop(frames, STATION / "drop")
        say(f"dropped {dropped} files into {STATION / 'drop'} while the daemon runs")
        wait_until("the drop folder is empty", lambda: not any((STATION / "drop").iterdir()), daemon)
    finally:
        daemon.send_signal(signal.SIGTERM)
        status = daemon.wait(timeout=30)
    if status:
        sys.exit(f"the daemon ended with status {status}; see the lines above")

    headline("4. Reports from the quality database")
    for report in ("summary", "by_class", "latency"):
        command("weld-inspect", "report", report, "--config", config)
    command("weld-inspect", "report", "html", "--out", STATION / "report.html", "--config", config)
    command("weld-inspect", "reconcile", "--config", config)
    say(score(frames))

    headline("Next steps")
    say(f"{STATION}/report.html  the whole quality report: open it in a browser")
    say(f"{STATION}/archive      inspected images by day and verdict")
    say(f"{STATION}/quarantine   files that could not be inspected, by reason")
    say(f"{STATION}/quality.db   the database; its reports: .venv/bin/weld-inspect report --config {config}")
    say("README.md            your own folder, your own network, the service")


def drop(frames: list[Path], folder: Path) -> int:
    """Write frames in place and close them, as a camera does; return the number of dropped files."""
    for number, frame in enumerate(frames):
        (folder / frame.name).write_bytes(frame.read_bytes())
        if number % 8 == 7:
            time.sleep(0.05)  # about 100 frames per second, as many as two cores inspect
    sound = frames[0].read_bytes()
    broken = {
        "truncated.png": sound[: len(sound) // 2],
        "empty.png": b"",
        "zero-filled.png": bytes(len(sound)),
        "really-a-text.png": b"a camera's log file under a wrong name\n",
    }
    for name, content in broken.items():
        (folder / name).write_bytes(content)
    again = folder / frames[0].name
    while again.exists():  # the second delivery comes after the first was inspected
        time.sleep(0.1)
    again.write_bytes(sound)
    return len(frames) + len(broken) + 1


def score(frames: list[Path]) -> str:
    """Compare the network's classes with the true classes, which the demo knows and a station does not."""
    truth = {frame.name: frame.parent.parent.name for frame in frames}
    judged = ask("SELECT source_name, label, verdict FROM inspection")
    right = sum(truth[name] == label for name, label, _ in judged)
    passed = sum(verdict == "PASS" and truth[name] != "good_weld" for name, _, verdict in judged)
    return (
        f"\nThe demo knows the true classes: the network named the right one for {right} of {len(judged)} "
        f"synthetic frames, and passed {passed} defects."
    )


def ask(sql: str) -> list[tuple[str, ...]]:
    """Read rows from the quality database, as any SQL client could."""
    with contextlib.closing(sqlite3.connect(STATION / "quality.db")) as database:
        return database.execute(sql).fetchall()


def taken_at(frame: Path) -> str:
    """The time in the name of a frame; cameras deliver in this order, not class by class."""
    return frame.stem.rsplit("_", 1)[-1]


def command(*words: object) -> None:
    """Print and run one command; stop the demo if it fails."""
    show(words)
    status = subprocess.run([tool(str(words[0])), *map(str, words[1:])], check=False).returncode
    if status:
        sys.exit(f"the command above failed with status {status}")


def start(*words: object) -> subprocess.Popen[bytes]:
    """Print and start one command in the background."""
    show(words)
    return subprocess.Popen([tool(str(words[0])), *map(str, words[1:])])


def tool(name: str) -> str:
    """The path of a command in the folder of this Python, so that no environment must be activated."""
    return str(Path(sys.executable).parent / name)


def show(words: tuple[object, ...]) -> None:
    """Print a command as it would be typed."""
    say(f"\n$ .venv/bin/{shlex.join(map(str, words))}")


def headline(text: str) -> None:
    """Print a headline."""
    say(f"\n=== {text}")


def say(text: str) -> None:
    """Print a line at once, so that it is in order with the output of the commands."""
    print(text, flush=True)


def wait_until(
    what: str, holds: Callable[[], bool], daemon: subprocess.Popen[bytes], longest_s: float = 120
) -> None:
    """Wait for a condition; end the demo if it takes too long or the daemon has ended."""
    until = time.monotonic() + longest_s
    while not holds():
        if daemon.poll() is not None:
            sys.exit(f"the daemon ended with status {daemon.returncode} before {what}")
        if time.monotonic() > until:
            sys.exit(f"gave up after {longest_s:.0f} s waiting until {what}")
        time.sleep(0.2)


if __name__ == "__main__":
    main()
