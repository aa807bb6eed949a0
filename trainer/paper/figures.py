"""The paper's Figures 1 and 10 to 14 from finished runs; its Figures 2 to 9 explain, and need no data."""

from __future__ import annotations

import csv
import json
import logging
import statistics
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure

from inspector.imaging.decoder import ImageError, read_image
from trainer.data.augmentation import Augmentation
from trainer.data.frames import training_size
from trainer.data.resizing import prepare
from trainer.evaluation import pictures
from trainer.recipe_file import load

log = logging.getLogger(__name__)

_DPI = 120
_VIEWS = 5  # augmented views of each class's frame


def draw(folder: Path, where: dict[str, Path], rows: dict[str, dict[str, Any]]) -> list[str]:
    """Draw what the runs allow into ``folder``; returns the files' names.

    Args:
        folder: takes the pictures.
        where: each run's folder.
        rows: groups of runs with their results; a group is a point of Figure 11.
    """
    first = next(iter(where))
    drawn = {
        "figure-1-and-10.png": partial(_samples, where[first]),
        "figure-11.png": partial(_parameters, rows),
        "figure-12.png": partial(_by_epoch, where[first], ["teacher-1"]),
        "figure-13.png": partial(_methods, rows),
        "figure-14.png": partial(_by_epoch, where[first], None),
    }
    names = []
    for name, make in drawn.items():
        try:
            make(folder / name)
        except (OSError, ImageError) as error:
            log.warning("%s: not drawn, the run's frames are gone (%s)", name, error)
        else:
            names.append(name)
    return names


def _samples(run: Path, out: Path) -> None:
    """A training frame of each class, and what augmentation makes of it."""
    recipe = load(str(run / "recipe.yaml"))
    data = Path(json.loads((run / "results.json").read_text(encoding="utf-8"))["data"])
    root = data if data.is_dir() else data.parent
    with (run / "split.csv").open(encoding="utf-8", errors="surrogateescape") as stream:
        frames = {
            row["label"]: root / row["path"] for row in csv.DictReader(stream) if row["part"] == "train"
        }
    height, width = recipe.network.view
    kept = training_size(height, width, recipe.augmentation.crop[0])
    augment = Augmentation(height, width, **recipe.augmentation.model_dump())
    torch.manual_seed(recipe.seed)
    figure = Figure(figsize=(2 * (_VIEWS + 1), 1.9 * len(frames)), layout="constrained")
    cells = figure.subplots(len(frames), _VIEWS + 1, squeeze=False)
    for row, (label, path) in zip(cells, frames.items(), strict=True):
        pixels = torch.from_numpy(read_image(path, bit_depth=recipe.data.bit_depth))[None]
        views = augment(prepare(pixels, *kept).expand(_VIEWS, -1, -1, -1))
        for axis, image in zip(row, [prepare(pixels, height, width), *views], strict=True):
            axis.imshow(image[0].numpy(), cmap="gray", vmin=0, vmax=255)
            axis.set_axis_off()
        row[0].set_title(label, fontsize=8)
    figure.savefig(out, dpi=_DPI)


def _by_epoch(run: Path, networks: Sequence[str] | None, out: Path) -> None:
    logs = sorted((run / "logs").glob("*.csv"))
    pictures.curves([path for path in logs if networks is None or path.stem in networks], out)


def _parameters(rows: dict[str, dict[str, Any]], out: Path) -> None:
    """Figure 11: accuracy of single networks against their size."""
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axis = figure.subplots()
    for name, group in rows.items():
        accuracies = [100 * value for value in _accuracies(group, "teacher-")]
        spread = statistics.stdev(accuracies) if len(accuracies) > 1 else 0
        size = next(iter(group.values()))["parameters"] / 1e7
        axis.errorbar(size, statistics.fmean(accuracies), yerr=spread, fmt="o", capsize=3, label=name)
    axis.set(xlabel="parameters, 10⁷", ylabel="accuracy %, mean ± sd over networks")
    axis.legend()
    figure.savefig(out, dpi=_DPI)


def _methods(rows: dict[str, dict[str, Any]], out: Path) -> None:
    """Figure 13: single network, mean and focal ensemble, of each group of runs."""
    figure = Figure(figsize=(2 + 1.6 * len(rows), 4.5), layout="constrained")
    axis = figure.subplots()
    methods = {"single": "teacher-", "mean ensemble": "mean", "focal ensemble": "focal", "student": "student"}
    for number, (method, prefix) in enumerate(methods.items()):
        shown = {i: _accuracies(group, prefix) for i, group in enumerate(rows.values())}
        shown = {i: accuracies for i, accuracies in shown.items() if accuracies}
        axis.bar(
            [i + 0.2 * (number - 1.5) for i in shown],
            [100 * statistics.fmean(accuracies) for accuracies in shown.values()],
            width=0.18,
            yerr=[100 * statistics.stdev(a) if len(a) > 1 else 0 for a in shown.values()],
            label=method,
        )
    axis.set_xticks(range(len(rows)), list(rows), rotation=20, ha="right")
    axis.set(ylabel="accuracy %, mean ± sd", ylim=(0, 100))
    axis.legend(loc="lower right")
    figure.savefig(out, dpi=_DPI)


def _accuracies(group: dict[str, Any], prefix: str) -> list[float]:
    return [
        judged["accuracy"]
        for result in group.values()
        for name, judged in result["models"].items()
        if name.startswith(prefix)
    ]
