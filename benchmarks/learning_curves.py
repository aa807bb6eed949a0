"""Learning curves of the linear probe on every data set of a folder, checked against what came true.

    python benchmarks/learning_curves.py SETS --cache CACHE [--seeds 0,1,2] [--out PICTURES] [--json]

SETS is a folder with one data set per sub-folder. On each, probes learn from eighths (of many frames),
quarters, halves and all of the training frames. A fit to the smaller sizes alone predicts the accuracy with
all of them; the table says whether it is within the predicted interval. Then the fit to all sizes gives the
sentence of ``weld-train learning-curve``. The features of the pretrained network are kept in CACHE.
"""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from rich.console import Console
from rich.table import Table

from trainer.data.joining import DataSets
from trainer.labels import features, learning_curve, power_law, probe_curve
from trainer.run.progress import Progress

_WIDTH = 160  # characters of the table


def main(
    sets: Annotated[Path, typer.Argument(help="folder with one data set per sub-folder")],
    cache: Annotated[Path, typer.Option(help="folder for the features")],
    seeds: Annotated[str, typer.Option(help="each size once per seed, separated by commas")] = "0,1,2",
    out: Annotated[Path | None, typer.Option(help="folder for a picture of each curve")] = None,
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Measure, and print a table or one JSON object."""
    torch.set_num_threads(1)
    rows: dict[str, dict[str, Any]] = {}
    for folder in sorted(path for path in sets.iterdir() if path.is_dir()):
        progress = Progress(Console(file=io.StringIO()))
        (cache / folder.name).mkdir(parents=True, exist_ok=True)
        sample = features.read(DataSets((folder,)), cache / folder.name, progress, bit_depth=8)
        curve = probe_curve.of_sample(sample, [int(seed) for seed in seeds.split(",")], progress)
        measured, law = curve.measured, power_law.fit(curve.measured)
        whole = curve.points[-1]
        smaller = power_law.fit(measured.first(len(curve.points) - 1))
        low, high = smaller.interval(whole.n_train)
        rows[folder.name] = {
            "n_held_out": curve.n_held_out,
            "points": [[point.n_train, point.accuracy, point.macro_f1] for point in curve.points],
            "balanced": [point.balanced_accuracy for point in curve.points],
            "predicted": [1 - high, 1 - smaller.error(whole.n_train), 1 - low],
            "came_true": bool(1 - high <= whole.accuracy <= 1 - low),
            "slope": [law.slope, *law.slope_interval],
            "sentence": learning_curve.look_ahead(curve, law, learning_curve.MORE_FRAMES).sentence,
        }
        typer.echo(f"{folder.name}: {json.dumps(rows[folder.name])}", err=True)
        if out:
            out.mkdir(parents=True, exist_ok=True)
            learning_curve.draw(curve, law, out / f"{folder.name}.png")
    if as_json:
        typer.echo(json.dumps(rows))
    else:
        _print(rows)


def _print(rows: dict[str, dict[str, Any]]) -> None:
    table = Table("set", "training frames: accuracy, macro F1, balanced", "predicted for all", "came true")
    for name, row in rows.items():
        points = zip(row["points"], row["balanced"], strict=True)
        low, middle, high = row["predicted"]
        table.add_row(
            name,
            "; ".join(f"{n:.0f}: {a:.1%}, {f:.1%}, {b:.1%}" for (n, a, f), b in points),
            f"{middle:.1%} ({low:.1%} to {high:.1%})",
            "yes" if row["came_true"] else "no",
        )
    Console(width=_WIDTH).print(table)
    for name, row in rows.items():
        typer.echo(f"{name}: {row['sentence']}")
    typer.echo(f"{sum(row['came_true'] for row in rows.values())} of {len(rows)} predictions came true")


if __name__ == "__main__":
    typer.run(main)
