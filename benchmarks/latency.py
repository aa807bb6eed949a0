"""Measure the time from a file's close to its committed verdict on an idle station, one file at a time.

    make latency
    python benchmarks/latency.py --count 50         a short run

Each file is written in place and closed. The clock starts when ``close`` has returned. A second connection
looks for the row once per millisecond, and the clock stops when it sees the row, which is after the commit.
So the figure includes the commit, its flush to the disk, and up to two milliseconds of polling. The table
also shows the time in the row itself, which ends just before the commit.

Files come at random moments after the last one has left the folder, so the station is idle and not in step
with them.
"""

from __future__ import annotations

import random
import statistics
import time
from pathlib import Path
from typing import Annotated

import audit
import sqlalchemy as sa
import typer
from camera import Sent, packed, sent_as, stamped
from rich.console import Console
from rich.progress import track
from rich.table import Table
from rig import DEMO, Rig, databases, work_folder

from inspector.ledger import database

HEIGHT, WIDTH = 974, 800  # pixels: the paper's frame
PICTURES = 40  # different pictures; a number in each file makes all files different
POLL_S = 0.001
MAX_P50_MS, MAX_P99_MS = 80, 250  # the bounds that the project has set itself

console = Console(highlight=False, soft_wrap=True)
ROW = sa.text("SELECT wait_ms, decode_ms, infer_ms, total_ms FROM inspection WHERE source_name = :name")


def main(
    count: Annotated[int, typer.Option(min=2)] = 1000,
    backend: Annotated[str, typer.Option(help="sqlite or postgresql")] = "sqlite",
    artifact: Annotated[Path, typer.Option()] = DEMO,
    folder: Annotated[
        Path | None, typer.Option(help="a folder on the disk to measure; default: the temporary folder")
    ] = None,
) -> None:
    """Write files, measure, and print; exit with 1 if a bound is missed or a file is unaccounted for."""
    with work_folder("latency", folder) as place, databases(backend, place) as url:
        patience = {"settle_s": 0.5, "give_up_s": 10, "scan_s": 2}  # the shipped defaults
        with Rig(place / "station", artifact.resolve(), url, **patience) as rig:
            rig.launch_ready()
            figures, sent = measure(rig, count)
            rig.stop()
            problems = audit.of_an_idle_station(rig, sent).problems
    missed = print_figures(figures)
    for kind, line in problems:
        console.print(f"{kind}: {line}", markup=False)
    raise typer.Exit(bool(missed or problems))


def measure(rig: Rig, count: int) -> tuple[dict[str, list[float]], list[Sent]]:
    """Milliseconds from close to committed row for each file, and the times in the row itself."""
    chance, pictures = random.Random(0), noisy_pngs()
    figures: dict[str, list[float]] = {name: [] for name in ("committed", "total", "wait", "decode", "infer")}
    sent = []
    with database.reading(rig.url) as engine:
        for number in track(range(count), "files", console=console):
            time.sleep(chance.uniform(0.05, 0.15))  # s: let the station become idle
            content = stamped(pictures[number % PICTURES], "png", number)
            path = rig.drop / f"l{number}.png"
            path.write_bytes(content)
            closed = time.monotonic()
            row, seen = wait_for_row(engine, path.name)
            sent.append(sent_as(path.name, content))
            figures["committed"].append((seen - closed) * 1000)
            for name in ("total", "wait", "decode", "infer"):
                figures[name].append(getattr(row, f"{name}_ms"))
            rig.wait_until_idle()
    return figures, sent


def noisy_pngs() -> list[bytes]:
    """Frames with structure and sensor noise, which compress like a camera's (about 400 KiB)."""
    from artifact_samples import picture

    return [packed(picture(seed, HEIGHT, WIDTH), "png") for seed in range(PICTURES)]


def wait_for_row(engine: sa.Engine, name: str) -> tuple[sa.Row, float]:
    """The row, and the time (monotonic seconds) at which another connection saw it."""
    while True:
        time.sleep(POLL_S)
        with database.transaction(engine) as connection:
            if row := connection.execute(ROW, {"name": name}).first():
                return row, time.monotonic()


def print_figures(figures: dict[str, list[float]]) -> bool:
    """Print the spread; return whether a bound was missed."""
    table = Table(title=f"{len(figures['total'])} files, one at a time, ms")
    for column in ("", "p50", "p90", "p99", "longest"):
        table.add_column(column, justify="right")
    names = {
        "committed": "close → committed row, seen from outside",
        "total": "row: close → just before the commit",
        "wait": "row: close → reading",
        "decode": "row: reading, hash, decoding, resize",
        "infer": "row: the network",
    }
    for name, label in names.items():
        shares = statistics.quantiles(figures[name], n=100, method="inclusive")
        values = shares[49], shares[89], shares[98], max(figures[name])
        table.add_row(label, *(f"{value:.1f}" for value in values))
        if name == "committed":
            missed = shares[49] > MAX_P50_MS or shares[98] > MAX_P99_MS
    console.print(table)
    console.print(f"bounds: p50 {MAX_P50_MS} ms, p99 {MAX_P99_MS} ms: {'missed' if missed else 'kept'}")
    return missed


if __name__ == "__main__":
    typer.run(main)
