"""The whole loop: train, inspect, decide, export, train again, compare, put in force under load, go back.

    python benchmarks/loop.py --data DIR --accept CLASS --starved CLASS

The frames are real ones in class folders: the shipped weights were made from synthetic frames, so a network
that starts from them mislabels none of those. One class is starved in the first training, so that the network
mislabels many of its frames. A station inspects a second part of the frames, a person decides each in a CSV
file, and the next network learns from both parts, starting from the first. ``compare`` judges both on a third
part. Then the better artifact is put in force while a camera delivers, and the first one comes back. No frame
may be lost, and each row must name the artifact that was in force.
"""

from __future__ import annotations

import csv
import hashlib
import json
import random
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import typer
from PIL import Image
from rich.console import Console
from rig import Rig, databases, work_folder

PARTS: Final = 3  # learnt first, inspected and decided, held out for the comparison
STARVED_FRAMES: Final = 3  # of the starved class in the first part
MAX_FRAMES_PER_CLASS: Final = 30  # a network then learns within two minutes
MAX_P: Final = 0.05  # McNemar's exact test
MIN_MISLABELLED_SHARE: Final = 0.3  # of the starved class among the inspected frames
# Long enough for an artifact that a station takes
QUICK: Final = (
    *("training.epochs=12", "distillation.epochs=12", "ensemble.teachers=1"),
    *("network.height=128", "network.width=128"),
)
PATTERN: Final = r"^(?P<part>p\d+)_"
SEED: Final = 5

console = Console()


def main(
    data: Annotated[Path, typer.Option(help="class folders of real frames")],
    accept: Annotated[str, typer.Option(help="the class that the shop accepts")],
    starved: Annotated[str, typer.Option(help="the class with few frames at first")],
    folder: Annotated[Path | None, typer.Option(help="parent of the work folder")] = None,
) -> None:
    """Go through the loop once, and require that it makes the network better."""
    with work_folder("loop", folder) as place, databases("sqlite", place) as url:
        parts = _parts(data, starved)
        for number, frames in enumerate(parts):
            _write(place / f"part{number}", frames)
        chosen = (f"accept=[{accept}]", *QUICK)
        learn = ["run", "best", *(word for key in chosen for word in ("--set", key))]
        _train(*learn, "--data", place / "part0", "--out", place / "first")
        first = place / "first" / "weldnet.pt"
        artifact = place / "weldnet.pt"
        artifact.write_bytes(first.read_bytes())
        with Rig(place / "station", artifact, url, name_pattern=PATTERN) as rig:
            truth = _inspect(rig, parts[1], "p1")
            wrong = _mislabelled(rig, truth, starved)
            console.print(f"the first network mislabels {wrong:.0%} of {starved}")
            _require(wrong >= MIN_MISLABELLED_SHARE, "the first network is too good: starve another class")
            _decide(rig, truth, accept)
            console.print(_ask(rig, "export", "--out", str(place / "reviewed")))
            again = ["--data", place / "part0", "--data", place / "reviewed", "--out", place / "second"]
            _train(*learn, *again, "--start", place / "first" / "student.pt")
            second = place / "second" / "weldnet.pt"
            held_out = ["compare", first, second, "--data", place / "part2"]
            compared = json.loads(_train(*held_out, "--json"))
            old, new = (f"{compared[name]['accuracy']:.1%}" for name in ("old", "new"))
            console.print(
                f"{compared['n']} frames that neither has learnt: {old} to {new}, p {compared['p']:.2g}"
            )
            _require(
                compared["verdict"] == "new is better" and compared["p"] < MAX_P, "the new one is not better"
            )
            _put_in_force(rig, parts[2], first, second)
    console.print("the loop is closed")


# --- data -------------------------------------------------------------------------------------------------


def _parts(data: Path, starved: str) -> list[list[tuple[str, Path]]]:
    """Split the frames of each class into three; frames of one sub-folder (a run) stay together."""
    chance, parts = random.Random(SEED), [[] for _ in range(PARTS)]
    for of_class in sorted(path for path in data.iterdir() if path.is_dir()):
        runs: dict[Path, list[Path]] = {}
        for path in sorted(of_class.rglob("*.*")):
            if path.suffix.lower() in (".png", ".jpg", ".jpeg", ".bmp", ".tif"):
                runs.setdefault(path.parent if path.parent != of_class else path, []).append(path)
        order = list(runs.values())
        chance.shuffle(order)
        sizes = [0] * PARTS
        for frames in order:
            smallest = sizes.index(min(sizes))
            sizes[smallest] += len(frames)
            parts[smallest] += [(of_class.name, path) for path in frames]
    kept: list[list[tuple[str, Path]]] = []
    for number, frames in enumerate(parts):
        seen: Counter[str] = Counter()
        some = []
        for name, path in frames:
            seen[name] += 1
            most = STARVED_FRAMES if number == 0 and name == starved else MAX_FRAMES_PER_CLASS
            if seen[name] <= most:
                some.append((name, path))
        kept.append(some)
    return kept


def _write(folder: Path, frames: Sequence[tuple[str, Path]]) -> None:
    for number, (name, path) in enumerate(frames):
        (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / name / f"{number}{path.suffix}").write_bytes(path.read_bytes())


# --- inspect and decide -----------------------------------------------------------------------------------


def _inspect(rig: Rig, frames: Sequence[tuple[str, Path]], part: str) -> dict[str, str]:
    """Let the station inspect frames; return the true class of each by its name in the drop folder."""
    truth = {}
    rig.launch_ready()
    for number, (name, path) in enumerate(frames):
        truth[f"{part}_{number}{path.suffix}"] = name
        rig.deliver(f"{part}_{number}{path.suffix}", path.read_bytes())
    rig.wait_until_idle()
    rig.stop()
    return truth


def _mislabelled(rig: Rig, truth: dict[str, str], starved: str) -> float:
    rows = rig.rows("SELECT source_name, label FROM inspection")
    of_class = [(truth[name], label) for name, label in rows if truth[name] == starved]
    return sum(true != label for true, label in of_class) / len(of_class)


def _decide(rig: Rig, truth: dict[str, str], accept: str) -> None:
    """Give the true class of each image as a person's verdict, in one CSV file."""
    table = rig.folder / "answers.csv"
    with table.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "human_verdict", "human_label"])
        for number, name in rig.rows("SELECT id, source_name FROM inspection"):
            writer.writerow([number, "PASS" if truth[name] == accept else "FAIL", truth[name]])
    console.print(_ask(rig, "review", "import", str(table), "--reviewer", "ann"))


# --- put in force -----------------------------------------------------------------------------------------


def _put_in_force(rig: Rig, frames: Sequence[tuple[str, Path]], first: Path, second: Path) -> None:
    """Exchange the artifact while a camera delivers, go back, and require that no frame is lost."""
    before = rig.rows("SELECT count(*) FROM inspection")[0][0]
    rig.launch_ready()
    stop, sent = threading.Event(), []

    def deliver() -> None:
        for round_number in range(100):
            for number, (_, path) in enumerate(frames):
                if stop.is_set():
                    return
                with Image.open(path) as picture:  # other bytes in each round
                    sent.append(f"p2_{round_number}_{number}.png")
                    _save(
                        rig, sent[-1], picture.convert("L").rotate(round_number % 4 * 90, expand=True), number
                    )

    camera = threading.Thread(target=deliver)
    camera.start()
    try:
        rig.wait_for(lambda: _judged(rig) >= before + 30, "the camera's first images were judged")
        install = ["install-artifact", str(second), "--note", "learnt from people"]
        console.print(_ask(rig, *install))
        rig.wait_for(lambda: _models(rig)[-1:] == [_hash(second)], "the new artifact judged an image")
        console.print(_ask(rig, "install-artifact", "--back", "--note", "only a trial"))
        rig.wait_for(lambda: _models(rig)[-1:] == [_hash(first)], "the old artifact judged an image again")
    finally:
        stop.set()
        camera.join()
    rig.wait_until_idle()
    rig.stop()
    _require(_judged(rig) == before + len(sent), f"{len(sent)} were sent, {_judged(rig) - before} judged")
    _require(_models(rig) == [_hash(first), _hash(second), _hash(first)], "the order of artifacts")
    books = json.loads(_ask(rig, "reconcile", "--json"))
    _require(books["unaccounted"] == 0, f"reconcile: {books}")
    console.print(f"put in force and taken back under load: {len(sent)} images, none lost")


def _save(rig: Rig, name: str, picture: Image.Image, number: int) -> None:
    picture.putpixel((0, 0), number % 256)
    hidden = rig.drop / f".{name}"
    picture.save(hidden, "PNG", compress_level=1)
    hidden.rename(rig.drop / name)


def _judged(rig: Rig) -> int:
    return int(rig.rows("SELECT count(*) FROM inspection")[0][0])


def _models(rig: Rig) -> list[str]:
    """Return the hashes of the artifacts in the order in which they judged, one for each change."""
    found: list[str] = []
    for (sha256,) in rig.rows(
        "SELECT m.artifact_sha256 FROM inspection i JOIN model m ON m.id = i.model_id ORDER BY i.id"
    ):
        if found[-1:] != [sha256]:
            found.append(sha256)
    return found


def _hash(artifact: Path) -> str:
    return hashlib.sha256(artifact.read_bytes()).hexdigest()


# --- programs ---------------------------------------------------------------------------------------------


def _train(*words: object) -> str:
    program = [sys.executable, "-c", "from trainer.commands.cli import main; main()"]
    done = subprocess.run([*program, *map(str, words)], stdout=subprocess.PIPE, text=True, check=False)
    _require(done.returncode == 0, f"weld-train {words[0]} ended with status {done.returncode}")
    return done.stdout


def _ask(rig: Rig, *words: str) -> str:
    done = rig.command(*words)
    _require(done.returncode == 0, f"{' '.join(words)}: {done.stdout}{done.stderr}")
    return done.stdout.strip()


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise SystemExit(what)


if __name__ == "__main__":
    sys.exit(typer.run(main))
