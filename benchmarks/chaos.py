"""Harm a real station in every way known from practice, and prove that nothing is lost or doubled.

    make chaos                                             all of it, about an hour on two quiet cores
    python benchmarks/chaos.py --rounds 3                  a short run of every scenario
    python benchmarks/chaos.py --scenario kill-sqlite --seed 17 --rounds 20      repeat one leg

A scenario does one kind of harm, in *legs*. Each leg has a seed, a new station and at most a few dozen
rounds, so that a failure can be repeated. The daemon is ``weld-inspect run`` in its own process, with the
tests' tiny network, so that most of the time goes into the harm. At the end of a leg, every delivery of
every camera is compared with the ledger and with the bytes on disk (``audit.py``). The exit status is 1 if
anything was lost, doubled, changed or unaccounted for.
"""

from __future__ import annotations

import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import chaos_accounts
import chaos_cameras
import chaos_clock
import chaos_failover
import chaos_faults
import chaos_folders
import chaos_mounts
import chaos_restore
import typer
from chaos_leg import Leg, Skipped, Violated
from rich.console import Console
from rich.table import Table
from rig import progress_bars, tiny_artifact, work_folder

SCENARIOS = (
    chaos_faults.SCENARIOS
    | chaos_cameras.SCENARIOS
    | chaos_mounts.SCENARIOS
    | chaos_folders.SCENARIOS
    | chaos_restore.SCENARIOS
    | chaos_failover.SCENARIOS
    | chaos_accounts.SCENARIOS
    | chaos_clock.SCENARIOS
)
KINDS = ("lost", "double", "changed", "unaccounted", "foreign")

console = Console(highlight=False, soft_wrap=True)
if not console.is_terminal:
    console.width = 160  # columns: the table must also fit in a log


@dataclass
class Result:
    """The result of a leg; ``verdict`` is ok, skipped or FAILED."""

    name: str
    seed: int
    leg: Leg
    verdict: str
    why: str
    seconds: float


def main(
    scenario: Annotated[
        list[str] | None, typer.Option(help=f"out of {', '.join(SCENARIOS)}; default: all")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="of the first leg; later legs count up from it; default: the time")
    ] = None,
    rounds: Annotated[
        int | None, typer.Option(min=1, help="rounds of each scenario; default: the full number")
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="number of stations in parallel")] = 2,
    artifact: Annotated[
        Path | None, typer.Option(help="default: the tests' tiny artifact, compiled now")
    ] = None,
    folder: Annotated[
        Path | None, typer.Option(help="parent of the stations' folders; default: the temporary folder")
    ] = None,
) -> None:
    """Run the scenarios and print a table."""
    first = int(time.time()) if seed is None else seed
    if unknown := set(scenario or ()) - set(SCENARIOS):
        raise typer.BadParameter(
            f"there is no scenario {', '.join(unknown)}; there are {', '.join(SCENARIOS)}"
        )
    with tempfile.TemporaryDirectory(prefix="weldnet-artifact-") as place:
        judge = artifact or tiny_artifact(Path(place) / "tiny.pt")
        plan = [leg for name in scenario or SCENARIOS for leg in _legs(name, first, rounds)]
        console.print(f"seed {first}: {len(plan)} legs, {sum(count for *_, count in plan)} rounds")
        results = _run_all(plan, jobs, judge.resolve(), folder)
    _print_table(results)
    raise typer.Exit(any(result.verdict == "FAILED" for result in results))


def _legs(name: str, seed: int, rounds: int | None) -> Iterator[tuple[str, int, int]]:
    """The name, seed and rounds of each leg of a scenario."""
    scenario, done = SCENARIOS[name], 0
    while left := (rounds or scenario.rounds) - done * scenario.leg:
        yield name, seed + done, min(left, scenario.leg)
        if left <= scenario.leg:
            return
        done += 1


def _run_all(
    plan: list[tuple[str, int, int]], jobs: int, artifact: Path, parent: Path | None
) -> list[Result]:
    with progress_bars(console) as progress, ThreadPoolExecutor(jobs) as pool:
        totals = Counter()
        for name, _, rounds in plan:
            totals[name] += rounds
        tasks = {name: progress.add_task(name, total=total, start=False) for name, total in totals.items()}

        def run(name: str, seed: int, rounds: int) -> Result:
            progress.start_task(tasks[name])
            return _run(name, seed, rounds, artifact, parent, lambda: progress.advance(tasks[name]))

        results = []
        for ended in as_completed([pool.submit(run, *leg) for leg in plan]):
            results.append(ended.result())
            _print_result(results[-1])
    return sorted(results, key=lambda result: (list(SCENARIOS).index(result.name), result.seed))


def _run(name: str, seed: int, rounds: int, artifact: Path, parent: Path | None, advance) -> Result:
    began = time.monotonic()
    leg = None
    try:
        with work_folder(name, parent) as folder:
            leg = Leg(seed, rounds, folder, artifact, advance)
            SCENARIOS[name].run(leg)
        verdict, why = "ok", ""
    except Skipped as reason:
        verdict, why = "skipped", str(reason)
    except Violated as found:
        verdict, why = (
            "FAILED",
            "\n".join([str(found), *(f"{kind}: {line}" for kind, line in leg.problems[:20])]),
        )
    except Exception:  # noqa: BLE001 - a leg that breaks is a row of the table like the others
        verdict, why = "FAILED", traceback.format_exc()
    return Result(name, seed, leg, verdict, why, time.monotonic() - began)


def _print_result(result: Result) -> None:
    sent = sum(audit.sent for audit in result.leg.last.values())
    counts = "".join(f", {count} {what}" for what, count in result.leg.counts.items())
    console.print(
        f"{result.name} seed {result.seed}: {result.verdict}, {result.leg.rounds} rounds, {sent} files"
        f"{counts}, {result.seconds:.0f} s"
    )
    if result.why:
        console.print(result.why, markup=False)
    if result.verdict == "FAILED":
        again = f"--scenario {result.name} --seed {result.seed} --rounds {result.leg.rounds}"
        console.print(f"again: python benchmarks/chaos.py {again}")


def _print_table(results: list[Result]) -> None:
    table = Table("scenario", "fault", title="Nothing lost, nothing twice")
    for column in ("rounds", "sent", "inspected", "duplicates", "quarantined", *KINDS, "minutes"):
        table.add_column(column, justify="right")
    table.add_column("verdict")
    for name in dict.fromkeys(result.name for result in results):
        mine = [result for result in results if result.name == name]
        audits = [audit for result in mine for audit in result.leg.last.values()]
        problems = Counter(kind for result in mine for kind, _ in result.leg.problems)
        verdicts = {result.verdict for result in mine}
        table.add_row(
            name,
            SCENARIOS[name].fault,
            *(
                f"{sum(values):,}"
                for values in (
                    [result.leg.rounds for result in mine],
                    *(
                        [getattr(audit, key) for audit in audits]
                        for key in ("sent", "inspected", "duplicates", "quarantined")
                    ),
                    *([problems[kind]] for kind in KINDS),
                )
            ),
            f"{sum(result.seconds for result in mine) / 60:.1f}",
            next(verdict for verdict in ("FAILED", "skipped", "ok") if verdict in verdicts),
        )
    console.print(table)


if __name__ == "__main__":
    typer.run(main)
