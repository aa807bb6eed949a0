"""A recipe, and changes of it, over every data set in a folder, in one table.

    python benchmarks/recipes.py DATA --out OUT
    python benchmarks/recipes.py DATA --out OUT --vary 'network.start=[null]' --vary 'training.mixup=[0]'
    python benchmarks/recipes.py DATA --out OUT --seeds 0 --all-folds --jobs 8 --accelerator cuda

Each sub-folder of DATA is a set, in any form of ``--data``. Runs and copies of a frame stay on one side
(``recipe_sets.py``). Every split, change and seed is a run of ``weld-train sweep`` in OUT; the same command
goes on after an interruption. The table is written to OUT as Markdown and JSON. The *choice* is the change
with the highest mean macro F1 of the int8 student over all sets, each set counting once. The leave-one-out
table says which change would have been chosen without each set, and what it is worth on the set left out.
"""

from __future__ import annotations

import csv
import json
import os
import statistics
import subprocess
import sys
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from recipe_sets import Split, find_sets, prepare
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from trainer.evaluation.metrics import balanced_accuracy
from trainer.run.folder import is_finished, read_results

ROWS: Final = {  # row of results.json → heading
    "artifact": "int8 student",
    "focal": "ensemble",
    "probe": "linear probe",
    "ridge": "ridge",
}
PUBLISHED: Final = {  # by others, on other splits of the same set
    "xsdd": "95.10 accuracy, 93.25 macro F1 (Feng 2021); 99.27 accuracy (three ImageNet networks, 2025)",
}
MIN_LEARNT: Final = 10  # training frames from which a class counts as lost if no answer is right
UNCHANGED: Final = "recipe"  # the sweep's name of the runs without a change

console = Console()


@dataclass(frozen=True)
class Figure:
    """One network of one run on held-out frames; shares from 0 to 1."""

    accuracy: float
    macro_f1: float
    balanced_accuracy: float
    cross_entropy: float
    lost_classes: int  # without one right answer, although ten frames or more were learnt


@dataclass(frozen=True)
class Run:
    """One finished run."""

    split: Split
    change: str
    seed: int
    figures: dict[str, Figure]  # by row of results.json
    seconds: float  # of training, of all networks

    @property
    def macro_f1(self) -> float:
        """The macro F1 of the int8 student, or of the ensemble where a recipe makes no student."""
        return self.figures.get("artifact", self.figures["focal"]).macro_f1


def main(
    data: Annotated[
        Path, typer.Argument(exists=True, file_okay=False, help="folder with one sub-folder per data set")
    ],
    out: Annotated[Path, typer.Option(help="folder for splits, runs and tables")],
    recipe: Annotated[str, typer.Option(help="name or file")] = "best",
    only: Annotated[str, typer.Option(help="names of sets, separated by commas; default: all")] = "",
    seeds: Annotated[str, typer.Option(help="separated by commas")] = "0,1,2",
    vary: Annotated[list[str] | None, typer.Option(help="as in weld-train sweep")] = None,
    overrides: Annotated[list[str] | None, typer.Option("--set", help="a.b=c, for every run")] = None,
    all_folds: Annotated[bool, typer.Option(help="hold out each fifth once, not only the first")] = False,
    accelerator: Annotated[str, typer.Option(help="auto, cpu or cuda")] = "auto",
    jobs: Annotated[int, typer.Option(min=1, help="runs at the same time")] = 1,
) -> None:
    """Train what is not trained yet, and write the tables."""
    splits = [
        split
        for path in find_sets(data, [name for name in only.split(",") if name])
        for split in prepare(path, out / "splits", all_folds=all_folds)
    ]
    for split in splits:
        console.print(
            f"{split.name}: {sum(split.n_train.values())} + {split.n_valid} frames, "
            f"{len(split.n_train)} classes, {split.copies} near-duplicates in the set"
        )
    options = [f"--accelerator={accelerator}"]
    options += [word for key in overrides or [] for word in ("--set", key)]
    options += [word for key in vary or [] for word in ("--vary", key)]
    numbers = [int(seed) for seed in seeds.split(",")]
    failed = _train(splits, numbers, recipe, options, out, jobs)
    runs = [run for split in splits for run in _finished(split, out)]
    if not runs:
        raise SystemExit(f"no run is finished; see the logs in {out / 'logs'}")
    text = "\n\n".join([_results_table(runs), _choice_table(runs)])
    (out / "recipes.md").write_text(text + "\n", encoding="utf-8")
    (out / "recipes.json").write_text(json.dumps([_as_json(run) for run in runs], indent=1), encoding="utf-8")
    console.print(text, markup=False, soft_wrap=True)
    if failed:
        raise SystemExit(f"{len(failed)} sweeps failed: {', '.join(failed)}; see {out / 'logs'}")


def _train(
    splits: Sequence[Split], seeds: Sequence[int], recipe: str, options: Sequence[str], out: Path, jobs: int
) -> list[str]:
    """Run one sweep per seed and split, in this order, and return those that failed.

    An early stop then has every set with the first seed.
    """
    (out / "logs").mkdir(parents=True, exist_ok=True)
    cores = max(1, (os.cpu_count() or 1) // jobs)
    environment = {"OMP_NUM_THREADS": str(cores), **os.environ}  # the user's own value wins
    words = [TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()]

    def run(split: Split, seed: int) -> str | None:
        name = f"{split.name}-seed{seed}"
        accept = ["--set", f"accept={json.dumps(split.accept)}"] if split.accept else []
        command = [sys.executable, "-m", "trainer.commands.cli", "sweep", recipe, "--data", str(split.folder)]
        command += ["--out", str(out / "runs" / split.name), "--seeds", str(seed), *accept, *options]
        with (out / "logs" / f"{name}.log").open("ab") as log:
            status = subprocess.run(command, stdout=log, stderr=log, env=environment, check=False).returncode
        progress.advance(task)
        return name if status else None

    pairs = [(split, seed) for seed in seeds for split in splits]
    with Progress(*words, TimeElapsedColumn(), TimeRemainingColumn(), console=console) as progress:
        task = progress.add_task("sweeps", total=len(pairs))
        with ThreadPoolExecutor(jobs) as pool:
            return [name for name in pool.map(lambda pair: run(*pair), pairs) if name]


def _finished(split: Split, out: Path) -> list[Run]:
    runs = []
    for folder in sorted((out / "runs" / split.name).glob("*-seed*")):
        if not is_finished(folder):
            continue
        change, _, seed = folder.name.rpartition("-seed")
        models = read_results(folder)["models"]
        figures = {row: _figure(models[row], split) for row in ROWS if row in models}
        runs.append(Run(split, change, int(seed), figures, _training_seconds(folder)))
    return runs


def _figure(model: dict[str, Any], split: Split) -> Figure:
    recalls = {name: each["recall"] for name, each in model["per_class"].items() if each["n"]}
    lost = sum(not recall and split.n_train[name] >= MIN_LEARNT for name, recall in recalls.items())
    balanced = balanced_accuracy(model["per_class"])
    return Figure(model["accuracy"], model["macro_f1"], balanced, model["cross_entropy"], lost)


def _training_seconds(folder: Path) -> float:
    """Return the seconds of all epochs of the run's own networks, from their logs."""
    total = 0.0
    for path in (folder / "logs").glob("*.csv"):
        with path.open(encoding="utf-8") as stream:
            total += sum(float(row["seconds"]) for row in csv.DictReader(stream))
    return total


def _results_table(runs: Sequence[Run]) -> str:
    """Return Markdown, a row per set, change and network: % as mean ± standard deviation over the runs."""
    lines = [
        "| set (classes; training frames) | change | network | runs | accuracy | macro F1 "
        "| balanced accuracy | cross entropy | lost classes | training, s |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for (name, change), group in _grouped(runs).items():
        split = group[0].split
        label = f"{name} ({len(split.n_train)}; {sum(split.n_train.values())})"
        for row, heading in ROWS.items():
            figures = [run.figures[row] for run in group if row in run.figures]
            if figures and (change == UNCHANGED or row in ("artifact", "focal")):
                shares = [
                    _spread([100 * getattr(figure, key) for figure in figures])
                    for key in ("accuracy", "macro_f1", "balanced_accuracy")
                ]
                entropy = _spread([figure.cross_entropy for figure in figures], digits=3)
                lost = sum(figure.lost_classes for figure in figures)
                seconds = f"{statistics.mean(run.seconds for run in group):.0f}" if row == "artifact" else ""
                cells = [label, change, heading, str(len(figures)), *shares, entropy, str(lost), seconds]
                lines.append(f"| {' | '.join(cells)} |")
        if change == UNCHANGED and name in PUBLISHED:
            lines.append(f"| {label} | | published: {PUBLISHED[name]} | | | | | | | |")
    return "\n".join(lines)


def _choice_table(runs: Sequence[Run]) -> str:
    """Markdown: the change that all sets choose, and the one that the others choose without each set."""
    worth: dict[str, dict[str, float]] = defaultdict(dict)  # change → set → macro F1 of the int8 student, %
    for (name, change), group in _grouped(runs).items():
        worth[change][name] = statistics.mean(100 * run.macro_f1 for run in group)
    sets = sorted({run.split.set_name for run in runs})
    complete = {change: by_set for change, by_set in worth.items() if len(by_set) == len(sets)}
    if len(complete) < 2 or len(sets) < 2:
        return "No choice: that takes two changes that are finished on every set."

    def best_of(names: Sequence[str]) -> str:
        return max(complete, key=lambda change: statistics.mean(complete[change][name] for name in names))

    means = {change: statistics.mean(by_set.values()) for change, by_set in complete.items()}
    ranked = sorted(means, key=lambda change: -means[change])
    lines = ["| change | mean macro F1 over sets | worst set |", "|---|---|---|"]
    for change in ranked:
        worst = min(complete[change], key=lambda name: complete[change][name])
        lines.append(f"| {change} | {means[change]:.2f} | {worst}: {complete[change][worst]:.1f} |")
    lines += [
        "",
        "| left out | the others choose | worth on the set left out | its own best |",
        "|---|---|---|---|",
    ]
    for name in sets:
        chosen = best_of([other for other in sets if other != name])
        own = best_of([name])
        lines.append(
            f"| {name} | {chosen} | {complete[chosen][name]:.1f} | {own}: {complete[own][name]:.1f} |"
        )
    return "\n".join(lines)


def _grouped(runs: Sequence[Run]) -> dict[tuple[str, str], list[Run]]:
    groups: dict[tuple[str, str], list[Run]] = defaultdict(list)
    for run in runs:
        groups[run.split.set_name, run.change].append(run)
    return groups


def _spread(values: Sequence[float], digits: int = 1) -> str:
    mean = f"{statistics.mean(values):.{digits}f}"
    return f"{mean} ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else mean


def _as_json(run: Run) -> dict[str, Any]:
    figures = {row: vars(figure) for row, figure in run.figures.items()}
    name = {"set": run.split.set_name, "split": run.split.name, "change": run.change, "seed": run.seed}
    return name | {"seconds": run.seconds, "figures": figures}


if __name__ == "__main__":
    typer.run(main)
