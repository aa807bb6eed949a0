"""Kill prune and requeue with SIGKILL while a daemon works, and prove that nothing is lost or doubled.

In each round, images and broken files arrive, and one of the two commands is killed at a random moment. At
the end, every interrupted command is finished, and ledger, archive, quarantine and results folder must
agree. Run it with ``make care-loop``. A seed that fails is printed, and repeats the same run.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer
from rig import Rig, databases, tiny_artifact, work_folder
from typer.testing import CliRunner

from inspector.commands.cli import app
from inspector.records import Verdict
from inspector.reports import query  # noqa: F401 - loaded before the fork, so that kills come early in the work

PRUNE_EVERYTHING = ["prune", "--older-than", "0", "--unreviewed", "--delete"]
PRUNE_EVERYTHING += [word for verdict in Verdict for word in ("--verdict", verdict.value)]
REQUEUE_BROKEN = ["requeue", "--reason", "not_an_image"]
FINISH_REQUEUE = ["requeue", "--reason", "nothing else than what was cut short"]


def main(
    backend: Annotated[str, typer.Option(help="sqlite or postgresql")] = "sqlite",
    rounds: Annotated[int, typer.Option(min=1)] = 200,
    seed: Annotated[int | None, typer.Option()] = None,
) -> None:
    """Kill the commands ``--rounds`` times and print the counts; exit with 1 if anything is wrong."""
    seed = random.SystemRandom().randrange(1 << 31) if seed is None else seed
    sys.stderr.write(f"seed {seed}\n")
    with work_folder("care") as folder, databases(backend, folder) as url:
        network = folder / "tiny.pt"
        tiny_artifact(network)
        results = folder / "station" / "results"
        with Rig(folder / "station", network, url, station="care", results_folder=str(results)) as rig:
            for needed in (results, rig.archive, rig.quarantine):
                needed.mkdir(exist_ok=True)
            rig.launch_ready()
            counts = run_and_kill_commands(rig, rounds, random.Random(seed))
            rig.drain()
            run_command(rig, FINISH_REQUEUE)
            rig.drain()
            run_command(rig, PRUNE_EVERYTHING)
            figures = {
                "backend": backend,
                "seed": seed,
                "rounds": rounds,
                **counts,
                **check_ledger(rig, results, counts),
            }
    sys.stdout.write(json.dumps(figures) + "\n")
    raise typer.Exit(bool(figures["problems"]))


def run_and_kill_commands(rig: Rig, rounds: int, chance: random.Random) -> Counter[str]:
    """Let files arrive and kill commands; count how many were killed, ended, and seen unfinished."""
    counts: Counter[str] = Counter(killed=0, ended=0, unfinished=0)
    names = itertools.count()
    began = time.monotonic()
    run_and_kill(rig, PRUNE_EVERYTHING, None)
    usual_s = time.monotonic() - began  # a command's duration here; kills must come at any moment of it
    for number in range(rounds):
        for n in itertools.islice(names, chance.randint(1, 4)):
            rig.put(f"{n}.png", seed=n)
        (rig.drop / f"broken-{number}.png").write_bytes(b"no image %d" % number)
        command, after_s = chance.choice([PRUNE_EVERYTHING, REQUEUE_BROKEN]), chance.uniform(0, 1.5 * usual_s)
        counts[run_and_kill(rig, command, after_s)] += 1
        if number % 10 == 9:
            gone = rig.rows("SELECT path FROM arrival WHERE outcome = 'pruned' AND inspection_id IS NOT NULL")
            counts["unfinished"] += sum((rig.archive / row.path).exists() for row in gone)
    counts["images"], counts["broken"] = next(names), rounds
    return counts


def run_and_kill(rig: Rig, words: list[str], after_s: float | None) -> str:
    """Run a command in a child process, kill it after a time (None: never); ``killed`` or ``ended``."""
    child = os.fork()
    if child == 0:
        run_command(rig, words)
        os._exit(0)
    time.sleep(after_s or 0)
    if os.waitpid(child, 0 if after_s is None else os.WNOHANG) != (0, 0):
        return "ended"
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return "killed"


def run_command(rig: Rig, words: list[str]) -> None:
    """Run a command in this process; the final checks show what it left undone."""
    CliRunner().invoke(app, [*words, "--json", "--config", str(rig.config)])


def check_ledger(rig: Rig, results: Path, sent: Counter[str]) -> dict[str, Any]:
    """The counts of the ledger at the end, and a line for each problem."""
    found = rig.reconcile()
    twice = "FROM arrival WHERE outcome IN ('pruned', 'requeued')"
    images, names = rig.rows("SELECT count(*), count(DISTINCT source_name) FROM inspection")[0]
    in_results = {int(json.loads(file.read_text())["arrival"]) for file in results.glob("*.json")}
    arrivals = "SELECT id FROM arrival WHERE outcome NOT IN ('pruned', 'requeued')"
    arrived = {row.id for row in rig.rows(arrivals)}
    wrong = {
        "unaccounted": found["unaccounted"],
        "files left in the archive": len(rig.files(rig.archive)),
        "images without a verdict": sent["images"] - found["inspected"],
        "broken files not in quarantine": sent["broken"] - found["quarantined"],
        "images judged twice": images - names,
        "files that left twice": len(
            rig.rows(f"SELECT 1 {twice} GROUP BY path, coalesce(quarantine_id, 0) HAVING count(*) > 1")
        ),
        "results that differ from the ledger": len(in_results ^ arrived),
    }
    rows = {row[0]: row[1] for row in rig.rows(f"SELECT outcome, count(*) {twice} GROUP BY outcome")}
    return {
        "inspected": found["inspected"],
        "quarantined": found["quarantined"],
        "results": len(in_results),
    } | {
        "rows": rows,
        "problems": {what: count for what, count in wrong.items() if count},
    }


if __name__ == "__main__":
    typer.run(main)
