"""A day of shadow through a real daemon: its report counted again, and verdicts as fast as without it.

    make shadow-day
    python benchmarks/shadow.py --images 400 --blocks 4         a short run

Synthetic weld pools come at a steady pace. In every second block a candidate judges each image too. Both
networks have the full size. The percentiles of the blocks with and without it are printed side by side, from
the rows of the database. Then people's verdicts are added, and ``report shadow`` is compared with counts made
from ``weld-inspect predict`` on the same pictures, and with SciPy's exact tests.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
import yaml
from camera import packed, stamped
from rich.console import Console
from rich.table import Table
from rig import DEMO, Rig, databases, progress_bars, work_folder
from scipy.stats import binomtest

from inspector.ledger.store import Store
from inspector.network import metadata
from inspector.records import Review, Verdict
from inspector.reports.query import Query, run
from trainer.network.weldnet import WeldNetConfig
from trainer.synthetic import frames

from artifact_samples import compiled, student  # isort: skip - rig has put the tests' support on the path

PICTURES = 60  # different pictures, ten per class; a number in each file makes all files different
REVIEWED = 7  # every so many images get a person's verdict
PERCENTS = (50, 90, 95, 99)
SECOND = "SELECT i.id, i.source_name FROM inspection i JOIN rejudgement r ON r.inspection_id = i.id"
KEY = ("measure", "station_verdict", "station_label", "verdict", "label")  # of a row of the report
Key = tuple[str | None, ...]
Row = dict[str, float]

console = Console(highlight=False, soft_wrap=True)


def main(
    images: Annotated[int, typer.Option(min=100, help="that the candidate judges, too")] = 10_000,
    blocks: Annotated[int, typer.Option(min=2, help="every second one with the candidate")] = 20,
    rate: Annotated[float, typer.Option(help="images per second")] = 15.0,
    backend: Annotated[str, typer.Option(help="sqlite or postgresql")] = "sqlite",
) -> None:
    """Print both distributions; exit with 1 if an image lacks its second opinion or the report is wrong."""
    with work_folder("shadow") as folder, databases(backend, folder) as url:
        candidate = full_size(folder / "candidate.pt")
        pictures = [packed(frame.pixels, "png") for frame in frames.frames(PICTURES, seed=1)]
        with Rig(folder / "station", DEMO, url) as rig:
            deliver_in_blocks(rig, pictures, candidate, 2 * images // blocks, blocks, rate)
            print_durations(rig)
            problems = wrong_rows(rig, answers(rig, folder, pictures, candidate))
    for line in problems:
        console.print(line, markup=False)
    raise typer.Exit(bool(problems))


def full_size(path: Path) -> Path:
    """Compile a network of the demo's size and classes that has learnt nothing, so it often differs."""
    about = metadata.read(DEMO)
    config = WeldNetConfig(classes=len(about.classes), height=about.height, width=about.width)
    compiled(path, student(config), classes=about.classes, name="candidate")
    return path


def deliver_in_blocks(
    rig: Rig, pictures: list[bytes], candidate: Path, per_block: int, blocks: int, rate: float
) -> None:
    """Let the daemon judge block after block, each with a new start, and the candidate every second one."""
    settings = yaml.safe_load(rig.config.read_text())
    with progress_bars(console) as progress:
        task = progress.add_task("images", total=per_block * blocks)
        for block in range(blocks):
            has_shadow = block % 2 == 1
            rig.configure(**settings | ({"shadow_artifact": str(candidate)} if has_shadow else {}))
            rig.launch_ready()
            began = time.monotonic()
            for number in range(per_block):
                time.sleep(max(0.0, began + number / rate - time.monotonic()))
                total = block * per_block + number
                rig.deliver(f"{total}.png", stamped(pictures[total % PICTURES], "png", total))
                progress.advance(task)
            rig.wait_until_idle()
            if has_shadow:
                wanted = per_block * (block + 1) // 2
                rig.wait_for(lambda n=wanted: rejudged(rig) >= n, "each image had a second opinion")
            rig.stop()


def rejudged(rig: Rig) -> int:
    """The number of second opinions."""
    return int(rig.rows("SELECT count(*) AS n FROM rejudgement")[0].n)


def print_durations(rig: Rig) -> None:
    """Print percentiles of the time from close to commit, with and without the candidate."""
    query = (
        "SELECT i.total_ms, r.id FROM inspection i LEFT JOIN rejudgement r ON r.inspection_id = i.id"
        " ORDER BY i.total_ms"
    )
    rows = rig.rows(query)
    table = Table(title="from close to just before the commit, ms")
    for column in ("", "images", *(f"p{percent}" for percent in PERCENTS), "longest"):
        table.add_column(column, justify="right")
    values = {
        True: [row.total_ms for row in rows if row.id],
        False: [row.total_ms for row in rows if not row.id],
    }
    for has_shadow, own in values.items():
        cuts = np.percentile(own, (*PERCENTS, 100))
        table.add_row("with" if has_shadow else "without", f"{len(own)}", *(f"{cut:.2f}" for cut in cuts))
    ratios = np.percentile(values[True], PERCENTS) / np.percentile(values[False], PERCENTS)
    table.add_row("ratio", "", *(f"{ratio:.3f}" for ratio in ratios), "")
    console.print(table)


# --- the report, counted again ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Answer:
    """The answers of both networks on a picture: verdict and class."""

    station: tuple[str, str]
    candidate: tuple[str, str]


def answers(rig: Rig, folder: Path, pictures: list[bytes], candidate: Path) -> list[Answer]:
    """Let ``weld-inspect predict`` judge each picture with both networks."""
    files = [folder / f"picture-{number:03}.png" for number in range(len(pictures))]
    for file, picture in zip(files, pictures, strict=True):
        file.write_bytes(picture)
    found = []
    for artifact in (DEMO, candidate):
        command = [*rig._program(), "predict", "--json", str(artifact)]
        done = subprocess.run([*command, *map(str, files)], stdout=subprocess.PIPE, check=True)
        found.append([(it["verdict"], it["label"]) for it in json.loads(done.stdout)["images"]])
    return [Answer(*both) for both in zip(*found, strict=True)]


def wrong_rows(rig: Rig, of_pictures: list[Answer]) -> list[str]:
    """Add people's verdicts, and return the lines of the report that differ from what they should say."""
    ids = {int(Path(row.source_name).stem): row.id for row in rig.rows(SECOND)}
    both = {number: of_pictures[number % PICTURES] for number in ids}
    said = {
        number: (Verdict.FAIL, Verdict.PASS)[number // REVIEWED % 2] for number in sorted(ids)[::REVIEWED]
    }
    with Store.open(rig.url, rig.name, seam_gap_s=300) as store:
        store.record_reviews([Review(ids[number], "ann", verdict) for number, verdict in said.items()])
    result = run(rig.url, Query("shadow"))
    rows = [dict(zip(result.columns, row, strict=True)) for row in result.rows]
    found = {tuple(row[name] for name in KEY): row for row in rows}
    counted = flips(both.values()) | decided([(both[number], verdict) for number, verdict in said.items()])
    wrong = [
        f"{key}: {found.get(key)}, not {row}"
        for key, row in counted.items()
        if any(not np.isclose(found.get(key, {}).get(name, -1), row[name], rtol=1e-8) for name in row)
    ]
    wrong += [f"{key}: not expected" for key in found if key[0] == "flip" and key not in counted]
    console.print(f"{len(counted)} rows of the report compared: {len(ids)} images, {len(said)} reviewed")
    return wrong


def flips(answers: Iterable[Answer]) -> dict[Key, Row]:
    """Count the images on which the verdicts differ, by both verdicts and classes."""
    found = Counter(
        ("flip", *answer.station, *answer.candidate)
        for answer in answers
        if answer.station[0] != answer.candidate[0]
    )
    return {key: {"n": n} for key, n in found.items()}


def decided(reviewed: list[tuple[Answer, Verdict]]) -> dict[Key, Row]:
    """Count who is right on the reviewed images, with SciPy's exact test and interval."""
    one = sum(it.station[0] == verdict != it.candidate[0] for it, verdict in reviewed)
    other = sum(it.candidate[0] == verdict != it.station[0] for it, verdict in reviewed)
    stopped = [it for it, verdict in reviewed if verdict == "FAIL" and it.station[0] != "PASS"]
    passed = sum(it.candidate[0] == "PASS" for it in stopped)
    rows: dict[str, Row] = {}
    for name, n in (("only_station", one), ("only_other", other)):
        rows[name] = {"n": n, "of_n": len(reviewed), "p": binomtest(one, one + other).pvalue}
    high = binomtest(passed, len(stopped)).proportion_ci(method="exact").high
    rows["let_through"] = {"n": passed, "of_n": len(stopped), "high_share": high}
    return {(name, None, None, None, None): row for name, row in rows.items()}


if __name__ == "__main__":
    typer.run(main)
