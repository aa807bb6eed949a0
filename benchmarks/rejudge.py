"""Prove and time ``weld-inspect rejudge``: bit-equal answers, kills, speed, memory, and both engines.

A daemon judges frames that differ, and the same artifact judges them again. Runs are killed with SIGKILL at
random moments, and on Ray a worker, too, until nothing is left. Then each image has one row, and it says what
the daemon said, to the last bit. The speed is compared with the ideal of ``weld-inspect bench`` in turns, by
the clock and by processor time, which a busy machine disturbs less. Run it with ``make rejudge-loop``.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import re
import resource
import statistics
import subprocess
import sys
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import Annotated, Any

import psutil
import typer
from rig import DEMO, Broken, Rig, databases, tiny_artifact, work_folder

from archives import add_links  # isort: skip - rig has put the tests' support on the path
from artifact_samples import described  # isort: skip

ROUNDS = 3  # of bench and rejudge, in turns
FIRST = 8  # images of a run that only starts
FEW = 5000  # rows of the small run whose memory is compared
Figures = dict[str, Any]


def main(
    backend: Annotated[str, typer.Option(help="sqlite or postgresql")] = "sqlite",
    images: Annotated[int, typer.Option(min=10, help="frames that differ, for the kills")] = 20_000,
    kills: Annotated[int, typer.Option(min=0, help="of each engine")] = 20,
    engines: Annotated[str, typer.Option(help="for the kills, as ENGINE:WORKERS")] = "local:2,ray:1,ray:2",
    speed_images: Annotated[int, typer.Option(help="of the camera's size; 0: no timing")] = 2000,
    scaling_images: Annotated[int, typer.Option(help="the same, for one worker and two; 0: none")] = 6000,
    rows: Annotated[int, typer.Option(help="made up, for the memory; 0: none")] = 1_000_000,
    seed: Annotated[int | None, typer.Option()] = None,
) -> None:
    """Print one JSON object a part; exit with 1 if an answer is missing, doubled or another one."""
    seed = random.SystemRandom().randrange(1 << 31) if seed is None else seed
    sys.stderr.write(f"seed {seed}\n")
    chance, wrong = random.Random(seed), 0
    with work_folder("rejudge") as folder:
        with databases(backend, folder) as url:
            network = tiny_artifact(folder / "tiny.pt")
            with Rig(folder / "station", network, url) as rig:
                _judge(rig, images)
                for name in engines.split(","):
                    figures = _kill_and_compare(rig, network, name, kills, chance)
                    wrong += figures["wrong_count"] + figures["different"]
                    _print({"part": "kills", "backend": backend, **figures})
        if speed_images:
            _print({"part": "speed"} | _speed(folder / "speed", speed_images))
        if scaling_images:
            _print({"part": "scaling"} | _scaling(folder / "scaling", scaling_images))
        if rows:
            _print({"part": "memory"} | _memory(folder / "memory", rows))
    raise typer.Exit(bool(wrong))


def _judge(rig: Rig, images: int) -> None:
    """Let the daemon judge and archive frames, some thousands at a time."""
    for start in range(0, images, 2000):
        for seed in range(start, min(start + 2000, images)):
            rig.put(f"{seed}.png", seed)
        done = rig.command("once")
        if done.returncode:
            raise Broken(done.stderr)


# --- kills ---------------------------------------------------------------------------------------------


class Trial:
    """Runs of one engine on the rig's archive, by a copy of the network whose rows are its own."""

    def __init__(self, rig: Rig, network: Path, engine: str, workers: str) -> None:
        self.engine, self._rig, self._version = engine, rig, f"{engine}-{workers}"
        artifact = network.with_name(f"{self._version}.pt")
        artifact.write_bytes(described(network, version=self._version))
        self.command = _command(rig, artifact, engine, workers)

    def recorded(self) -> int:
        """Return the number of rows."""
        of = f"JOIN model m ON m.id = r.model_id WHERE m.version = '{self._version}'"
        return int(self._rig.rows(f"SELECT count(*) AS n FROM rejudgement r {of}")[0].n)

    def like_the_daemons(self) -> list[bool]:
        """Return for each row whether it says what the daemon said, to the last bit."""
        equal = "r.verdict = i.verdict AND r.label = i.label AND r.confidence = i.confidence"
        equal += " AND r.novelty = i.novelty"
        equal += " AND CAST(r.probabilities AS TEXT) = CAST(i.probabilities AS TEXT)"
        rows = self._rig.rows(
            f"SELECT i.id, {equal} AS same FROM inspection i JOIN rejudgement r ON r.inspection_id = i.id"
            f" JOIN model m ON m.id = r.model_id WHERE m.version = '{self._version}'"
        )
        return [bool(row.same) for row in rows]

    def kill_after(self, rows: float, chance: random.Random) -> Counter[str]:
        """Start a run and kill it once so many rows are there; on Ray kill one of its workers before."""
        killed = Counter[str]()
        with subprocess.Popen(self.command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as run:
            while run.poll() is None and self.recorded() < rows:
                time.sleep(0.02)
            if self.engine == "ray" and (workers := _workers(run)):
                chance.choice(workers).kill()
                killed["workers"] += 1
                time.sleep(chance.random() * 5)
            if run.poll() is None:
                run.kill()
                killed["runs"] += 1
        return killed


def _workers(run: subprocess.Popen[bytes]) -> list[psutil.Process]:
    with contextlib.suppress(psutil.NoSuchProcess):
        children = psutil.Process(run.pid).children(recursive=True)
        return [one for one in children if "Judging" in " ".join(one.cmdline())]
    return []


def _kill_and_compare(rig: Rig, network: Path, name: str, kills: int, chance: random.Random) -> Figures:
    """Kill runs all along the way, finish, and compare the rows with the daemon's."""
    engine, workers = name.split(":")
    trial, began, killed = Trial(rig, network, engine, workers), time.monotonic(), Counter[str]()
    total = rig.rows("SELECT count(*) AS n FROM inspection")[0].n
    for number in range(kills):
        killed += trial.kill_after(total * (number + chance.random()) / (kills + 1), chance)
    last = json.loads(subprocess.run(trial.command, stdout=subprocess.PIPE, check=True).stdout)
    same = trial.like_the_daemons()
    return {
        "engine": engine,
        "workers": int(workers),
        "images": total,
        "killed": killed,
        "judged_by_the_last_run": last["judged"],
        "images_per_second_of_the_last_run": round(last["images_per_second"], 1),
        "wrong_count": abs(total - len(same)),
        "different": same.count(False),
        "seconds": round(time.monotonic() - began),
    }


def _command(rig: Rig, artifact: Path, engine: str, workers: str) -> list[str]:
    words = ["rejudge", "--artifact", str(artifact), "--engine", engine, "--workers", workers, "--json"]
    return [*rig._program(), *words, "--config", str(rig.config)]


# --- speed ---------------------------------------------------------------------------------------------


def _speed(folder: Path, images: int) -> Figures:
    """Time the threads beside bench's stages, in turns, on frames of the camera's size."""
    from sqlalchemy.engine import make_url

    from inspector.upkeep import bench

    folder.mkdir()
    cores = len(os.sched_getaffinity(0))
    values: dict[str, list[float]] = {"share": [], "processor_share": [], "images_per_second": []}
    with Rig(folder, DEMO, make_url(f"sqlite:///{folder / 'quality.db'}")) as rig:
        _add_noise(rig, images)
        for number in range(ROUNDS):
            found = bench.bench(DEMO, rig.archive / "noise", rounds=3, frames=8)
            artifact = folder / f"{number}.pt"
            artifact.write_bytes(described(DEMO, version=str(number)))
            command = _command(rig, artifact, "local", str(cores))
            _, start_s = _timed([*command, "--limit", str(FIRST)])  # nearly all of it is the start
            done, used_s = _timed(command)
            used_ms = (used_s - start_s) * 1000 / (images - 2 * FIRST)
            values["images_per_second"].append(done["images_per_second"])
            values["share"].append(done["images_per_second"] / found["ideal_images_per_second"])
            values["processor_share"].append(found["stages_processor_ms"] / used_ms)
    return {"images": images, "cores": cores} | _spread(values)


def _scaling(folder: Path, images: int) -> Figures:
    """Time one worker and two of each engine in turns, on frames of the camera's size.

    The efficiency is the speed of two workers over twice that of one in the same round.
    """
    from sqlalchemy.engine import make_url

    folder.mkdir()
    values: dict[str, list[float]] = defaultdict(list)
    with Rig(folder, DEMO, make_url(f"sqlite:///{folder / 'quality.db'}")) as rig:
        _add_noise(rig, images)
        for number in range(ROUNDS):
            for engine in ("ray", "local"):
                one, two = (_pace(rig, folder, engine, workers, number) for workers in ("1", "2"))
                values[f"{engine}_1_images_per_second"].append(one)
                values[f"{engine}_2_images_per_second"].append(two)
                values[f"{engine}_efficiency"].append(two / (2 * one))
    return {"images": images} | _spread(values)


def _pace(rig: Rig, folder: Path, engine: str, workers: str, number: int) -> float:
    """Judge all images by a new artifact; return images a second after the second page.

    The start of Ray takes many seconds, and differs by some. Pages of two workers come two at a time.
    """
    artifact = folder / f"{engine}-{workers}-{number}.pt"
    artifact.write_bytes(described(DEMO, version=artifact.stem))
    subprocess.run(_command(rig, artifact, engine, workers), stdout=subprocess.PIPE, check=True)
    pages = rig.rows(
        "SELECT r.judged_us, count(*) AS n FROM rejudgement r JOIN model m ON m.id = r.model_id"
        f" WHERE m.version = '{artifact.stem}' GROUP BY r.judged_us ORDER BY r.judged_us"
    )
    return float(sum(it.n for it in pages[2:])) * 1e6 / (pages[-1].judged_us - pages[1].judged_us)


def _add_noise(rig: Rig, images: int) -> None:
    """Add images of the camera's size to the archive: links to a few frames of noise."""
    from inspector.upkeep import bench

    (rig.archive / "noise").mkdir(parents=True)
    frames = bench._noise(rig.archive / "noise")
    hashes = [hashlib.sha256(file.read_bytes()).hexdigest() for file in frames]
    add_links(rig, [(it, f"noise/{file.name}") for it, file in zip(hashes, frames, strict=True)], images)


def _spread(values: dict[str, list[float]]) -> dict[str, list[float]]:
    """Return median, smallest and largest value of each."""
    return {
        name: [round(it, 3) for it in (statistics.median(them), min(them), max(them))]
        for name, them in values.items()
    }


def _timed(command: list[str]) -> tuple[Figures, float]:
    """Run a command; return what it says, and its processor time in seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return done, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


# --- memory --------------------------------------------------------------------------------------------


def _memory(folder: Path, rows: int) -> Figures:
    """Compare the peak memory of few and of many made-up rows, whose images are missing."""
    from made_up_year import fill
    from sqlalchemy.engine import make_url

    folder.mkdir()
    url = make_url(f"sqlite:///{folder / 'quality.db'}")
    with Rig(folder, tiny_artifact(folder / "tiny.pt"), url) as rig:
        fill(url, rows)
        [name] = rig.rows("SELECT name FROM station ORDER BY id LIMIT 1")[0]
        rig.configure(station=name, artifact=str(folder / "tiny.pt"), database_url=str(url))
        (rig.archive / "there").mkdir(parents=True)
        peaks = {}
        for count in (FEW, rows):
            command = [*_command(rig, folder / "tiny.pt", "local", "2"), "--limit", str(count)]
            done, peaks[count] = _peak_mb(command)
    return {"rows": rows, "skipped": done["skipped"], "peak_mb": peaks}


def _peak_mb(command: list[str]) -> tuple[Figures, int]:
    """Run a command; return what it says, and its largest resident memory in 10⁶ bytes.

    The system's own record of a child counts what this process held when it made the child.
    """
    peak_kib = 0
    with subprocess.Popen(command, stdout=subprocess.PIPE) as run:
        status = Path(f"/proc/{run.pid}/status")
        while run.poll() is None:
            if found := re.search(r"VmHWM:\s+(\d+) kB", status.read_text()):
                peak_kib = max(peak_kib, int(found[1]))
            time.sleep(0.05)
        said = json.loads(run.stdout.read()) if run.stdout else {}
    return said, round(peak_kib * 1024 / 1e6)


def _print(figures: Figures) -> None:
    sys.stdout.write(json.dumps(figures) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    typer.run(main)
