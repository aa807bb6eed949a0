"""How many of some flipped labels ``weld-train suspects`` names first, on every data set of a folder.

    python benchmarks/suspect_labels.py SETS --cache CACHE [--share 0.05] [--seeds 0,1,2] [--json]

SETS is a folder with one data set per sub-folder. In each set a share of the labels, drawn at random, becomes
another class, drawn at random; runs and pictures stay. All labels are ranked by the suspicion of the command.
A search without an opinion finds a tenth of the flipped labels among the first tenth of the frames. The
features of the pretrained network are kept in CACHE, so that a second call takes minutes. Labels that were
wrong before count as right ones here, so the figures are a lower bound.
"""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from rich.console import Console
from rich.table import Table

from trainer.data.joining import DataSets
from trainer.labels import features
from trainer.labels.features import Sample
from trainer.labels.suspects import find
from trainer.run.progress import Progress

FIRST = 0.1  # share of the frames that a person looks at
_WIDTH = 160  # characters of the table


def main(
    sets: Annotated[Path, typer.Argument(help="folder with one data set per sub-folder")],
    cache: Annotated[Path, typer.Option(help="folder for the features")],
    share: Annotated[float, typer.Option(min=0.01, max=0.4, help="of the labels to flip")] = 0.05,
    seeds: Annotated[str, typer.Option(help="one draw per seed, separated by commas")] = "0,1,2",
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Measure, and print a table or one JSON object."""
    torch.set_num_threads(1)
    rows: dict[str, dict[str, Any]] = {}
    for folder in sorted(path for path in sets.iterdir() if path.is_dir()):
        progress = Progress(Console(file=io.StringIO()))
        (cache / folder.name).mkdir(parents=True, exist_ok=True)
        sample = features.read(DataSets((folder,)), cache / folder.name, progress, bit_depth=8)
        draws = [_measure(sample, share, int(seed), progress) for seed in seeds.split(",")]
        before = find(sample, progress)
        rows[folder.name] = {
            "n": len(sample.labels),
            "accuracy": float(np.nanmean(before.probabilities.argmax(axis=1) == sample.labels)),
            "suspect_before": int(before.opinion.suspect.sum()),
            **{name: [draw[name] for draw in draws] for name in draws[0]},
        }
        typer.echo(f"{folder.name}: {json.dumps(rows[folder.name])}", err=True)
    if as_json:
        typer.echo(json.dumps(rows))
    else:
        _print(rows)


def _measure(sample: Sample, share: float, seed: int, progress: Progress) -> dict[str, float]:
    """Flip labels, and return which share of them the ranking names early and the opinion calls suspect."""
    generator = np.random.default_rng(seed)
    labels, classes = sample.labels.copy(), len(sample.classes)
    flipped = generator.choice(len(labels), max(1, round(share * len(labels))), replace=False)
    labels[flipped] = (labels[flipped] + generator.integers(1, classes, len(flipped))) % classes
    frames = replace(sample.frames, labels=torch.from_numpy(labels))
    found = find(replace(sample, frames=frames), progress)
    first = found.opinion.order[: round(FIRST * len(labels))]
    suspects = np.flatnonzero(found.opinion.suspect)
    hits = np.isin(flipped, suspects)
    return {
        "flipped": len(flipped),
        "among_first": float(np.isin(flipped, first).mean()),
        "suspect": len(suspects),
        "found": float(hits.mean()),
        "precision": float(hits.sum() / max(len(suspects), 1)),
        "right_proposal": float((found.opinion.proposed[flipped] == sample.labels[flipped]).mean()),
    }


def _print(rows: dict[str, dict[str, Any]]) -> None:
    table = Table(
        *("set", "n", "probe's accuracy", "flipped", "among the first 10%", "suspect", "of these flipped"),
        "flipped with the right proposal",
    )
    for name, row in rows.items():
        table.add_row(
            name,
            str(row["n"]),
            f"{row['accuracy']:.1%}",
            f"{row['flipped'][0]}",
            _spread(row["among_first"]),
            f"{np.mean(row['suspect']):.0f}",
            _spread(row["precision"]),
            _spread(row["right_proposal"]),
        )
    Console(width=_WIDTH).print(table)


def _spread(values: list[float]) -> str:
    return f"{np.mean(values):.0%} ({min(values):.0%} to {max(values):.0%})"


if __name__ == "__main__":
    typer.run(main)
