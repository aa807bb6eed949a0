"""A demonstration on synthetic frames: two weeks of a camera's files, the real station, its quality report.

Run it with ``make demo``. It prints each command, so that you can run them by hand.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shlex
import shutil
import sqlite3
import subprocess
import sys
import webbrowser
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from two_weeks import FAULT, Camera, Clock, Weld, first_monday, frames, plan

from inspector import logs, settings
from inspector.logs import IMAGES
from inspector.station.service import ReloadFlag, StopFlag, stop_on_signals
from trainer.synthetic.frames import write

HERE = Path(__file__).resolve().parent
STATION = Path("demo")  # in the current folder; created again by each run
SEED = 2026  # another seed than that of the frames that the demo's network was trained on

CONFIG = """\
station: demo-cell
artifact: {artifact}
name_pattern: '(?P<camera>cam\\d+)_part-(?P<part>\\d+)_seam-(?P<seam>\\d+)_(?P<time>\\w+)\\.'
give_up_s: 2 # seconds: the demo's broken files stay broken
# A seam of the demo has two frames, and fails if both do.
seam_k: 2
seam_n: 2
seam_min_frames: 2
"""


def main() -> None:
    """Draw two weeks of frames, let the station inspect them, print and open its reports."""
    config = STATION / "config.yaml"
    if STATION.exists():
        if not config.exists() or "station: demo-cell" not in config.read_text():
            sys.exit(f"{STATION.resolve()} is not an earlier demo; move it away, the demo would overwrite it")
        shutil.rmtree(STATION)
    (STATION / "drop").mkdir(parents=True)
    # Other users may be able to write to a checkout. A station refuses such settings; the demo accepts them.
    os.environ["WELD_OTHERS_MAY_WRITE"] = "true"
    config.write_text(CONFIG.format(artifact=HERE / "weldnet-synthetic.pt"))
    monday = first_monday(datetime.now(UTC).date())
    welds = plan(monday, SEED)

    headline("1. A camera's images (synthetic), and a network that was trained on such images")
    say("This network was trained on synthetic frames only. Never judge a real weld with it.")
    camera = STATION / "camera"
    write(camera, frames(welds, SEED))
    files = sorted(camera.glob("*/*/*.png"), key=taken_at)
    say(f"drew {len(files)} frames of {len(welds)} welds into {camera}")

    headline("2. The station: a database, a check of everything")
    command("weld-inspect", "migrate", "--config", config)
    command("weld-inspect", "check", "--config", config)

    headline("3. Two weeks of shifts in half a minute")
    say("The station's daemon inspects real files as the camera writes them, as 'weld-inspect run' does.")
    say("Only the times are made up: its clock is set to the time of each weld. Some files are broken on")
    say("purpose, and one is delivered twice.")
    inspect(config, welds, files)

    headline("4. Reports from the quality database")
    command("weld-inspect", "report", "summary", "--config", config)
    command("weld-inspect", "report", "by_class", "--config", config)
    found(config, monday)
    page = STATION / "report.html"
    command("weld-inspect", "report", "html", "--out", page, *first_week(monday), "--config", config)
    command("weld-inspect", "reconcile", "--config", config)
    say(score(files))

    headline("Next steps")
    say(f"{STATION}/archive         inspected images by day and verdict")
    say(f"{STATION}/quarantine      files that could not be inspected, by reason")
    say(f"{STATION}/quality.db      the database: .venv/bin/weld-inspect report --config {config}")
    say("README.md            your own folder, your own network, the service")
    say(f"\nOpen {page.resolve()} in a browser: the whole quality report, with the p-chart of the two weeks.")
    if os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
        webbrowser.open(page.resolve().as_uri())


def inspect(config: Path, welds: list[Weld], files: list[Path]) -> None:
    """Run the station's daemon here, with a clock that the camera sets, until all files are inspected.

    ``weld-inspect run`` reads the machine's clock, which stays as it is: therefore the daemon runs in this
    process. It is built from the settings by the same function.
    """
    from inspector.station import composition  # noqa: PLC0415 - loads torch

    logs.set_up("text")
    logging.getLogger(IMAGES).setLevel("WARNING")  # a line for each of 240 images would hide the reports
    per_weld = len(files) // len(welds)
    shots = [(weld, files[i * per_weld : (i + 1) * per_weld]) for i, weld in enumerate(welds)]
    stop, clock = StopFlag(), Clock(welds[0].at)
    camera = Camera(shots, STATION / "drop", clock, stop)
    with stop_on_signals(stop):
        camera.start()
        try:
            composition.run(
                config,
                settings.load(config),
                stop=stop,
                reload=ReloadFlag(),
                only_present=False,
                wall_us=clock.now_us,
            )
        finally:
            stop.set()
            camera.join()
    if camera.trouble:
        sys.exit(f"the camera stopped: {camera.trouble}")
    say(f"dropped {camera.dropped} files into {STATION / 'drop'}")


def found(config: Path, monday: date) -> None:
    """Name the shifts that the p-chart flags, and compare them with the fault that the demo has planned.

    The limits come from the first week, in which nothing was wrong.
    """
    words = ("weld-inspect", "report", "signals", "--by", "shift", *first_week(monday), "--config", config)
    show(words)
    printed = subprocess.run(
        [tool(words[0]), *map(str, words[1:]), "--format", "json"], check=True, stdout=subprocess.PIPE
    )
    rows = json.loads(printed.stdout)["rows"]
    for row in sorted(rows, key=lambda row: (row["day"], row["shift"])):
        say(
            f"{row['day']} {row['shift']:5}  {row['failed']:2} of {row['n']} frames FAIL; "
            f"the p-chart's upper limit is {row['upper_share']:.0%}"
        )
    flagged = {(row["day"], row["shift"]) for row in rows}
    planned = {(str(monday + timedelta(days=day)), shift) for day, shift in FAULT}
    say(
        f"In the second week the demo let the wire feed stutter for {len(planned)} shifts. The p-chart flags "
        f"{len(planned & flagged)} of them, and {len(flagged - planned)} others."
    )


def first_week(monday: date) -> tuple[object, ...]:
    """Options of a report: the limits come from the first week."""
    return "--reference-since", monday, "--reference-until", monday + timedelta(days=7)


def score(frames: list[Path]) -> str:
    """Compare the network's classes with the true classes, which the demo knows and a station does not."""
    truth = {frame.name: frame.parent.parent.name for frame in frames}
    judged = ask("SELECT source_name, label, verdict FROM inspection")
    right = sum(truth[name] == label for name, label, _ in judged)
    defects = [verdict for name, _, verdict in judged if truth[name] != "good_weld"]
    return (
        f"\nThe demo knows the true classes: the network named the right one for {right} of {len(judged)} "
        f"synthetic frames. Of {len(defects)} frames with a defect {defects.count('PASS')} passed."
    )


def ask(sql: str) -> list[tuple[str, ...]]:
    """Read rows from the quality database, as any SQL client could.

    Not while the daemon runs in this process: another SQLite in one process would release its locks.
    """
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


if __name__ == "__main__":
    main()
