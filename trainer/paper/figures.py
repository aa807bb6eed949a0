"""The paper's Figures 1 and 10 to 14 from finished runs; Figures 2 to 9 are drawings without data."""

from __future__ import annotations

import json
import logging
import statistics
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch
from matplotlib.figure import Figure

from inspector.imaging.decoder import ImageError, read_image
from trainer.data.augmentation import Augmentation
from trainer.data.frames import training_size
from trainer.data.joining import file_of
from trainer.data.resizing import prepare
from trainer.evaluation import pictures
from trainer.paper.runs import SINGLE, RunGroup
from trainer.recipe_file import load
from trainer.run.folder import read_split

log = logging.getLogger(__name__)

_DPI = 120
_VIEWS = 5  # augmented views per class
_METHODS = {"single": SINGLE, "mean ensemble": "mean", "focal ensemble": "focal", "student": "student"}


def draw(folder: Path, groups: Sequence[RunGroup]) -> list[str]:
    """Draw the figures into ``folder``, and return their names; without its frames, a figure is left out.

    Args:
        folder: takes the pictures.
        groups: of runs; each is a point of Figure 11.
    """
    first = groups[0].folder
    drawings = {
        "figure-1-and-10.png": partial(_samples, first),
        "figure-11.png": partial(_accuracy_by_size, groups),
        "figure-12.png": partial(_by_epoch, first, "teacher-1"),
        "figure-13.png": partial(_accuracy_by_method, groups),
        "figure-14.png": partial(_by_epoch, first, "*"),
    }
    names = []
    for name, draw_into in drawings.items():
        try:
            draw_into(folder / name)
        except (OSError, ImageError) as error:
            log.warning("%s: not drawn, the run's frames are gone (%s)", name, error)
        else:
            names.append(name)
    return names


def _samples(run: Path, out: Path) -> None:
    """Figures 1 and 10: a training frame of each class, and augmented views of it."""
    recipe = load(str(run / "recipe.yaml"))
    data = json.loads((run / "results.json").read_text(encoding="utf-8"))["data"]
    frames = {row["label"]: file_of(row["path"], data) for row in read_split(run) if row["part"] == "train"}
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


def _by_epoch(run: Path, networks: str, out: Path) -> None:
    """Figures 12 and 14: one network, and each network of the run; an ensemble is not trained."""
    pictures.curves(sorted((run / "logs").glob(f"{networks}.csv")), out)


def _accuracy_by_size(groups: Sequence[RunGroup], out: Path) -> None:
    """Figure 11: accuracy of single networks against their size."""
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axis = figure.subplots()
    for group in groups:
        accuracies = [100 * accuracy for accuracy in group.values(SINGLE)]
        size = group.parameters / 1e7
        mean, spread = statistics.fmean(accuracies), _spread(accuracies)
        axis.errorbar(size, mean, yerr=spread, fmt="o", capsize=3, label=group.name)
    axis.set(xlabel="parameters, 10⁷", ylabel="accuracy %, mean ± sd over networks")
    axis.legend()
    figure.savefig(out, dpi=_DPI)


def _accuracy_by_method(groups: Sequence[RunGroup], out: Path) -> None:
    """Figure 13: single network, mean and focal ensemble, and student, of each group of runs."""
    figure = Figure(figsize=(2 + 1.6 * len(groups), 4.5), layout="constrained")
    axis = figure.subplots()
    for number, (method, model) in enumerate(_METHODS.items()):
        accuracies = {i: group.values(model) for i, group in enumerate(groups)}
        accuracies = {i: values for i, values in accuracies.items() if values}
        axis.bar(
            [i + 0.2 * (number - 1.5) for i in accuracies],
            [100 * statistics.fmean(values) for values in accuracies.values()],
            width=0.18,
            yerr=[100 * _spread(values) for values in accuracies.values()],
            label=method,
        )
    axis.set_xticks(range(len(groups)), [group.name for group in groups], rotation=20, ha="right")
    axis.set(ylabel="accuracy %, mean ± sd", ylim=(0, 100))
    axis.legend(loc="lower right")
    figure.savefig(out, dpi=_DPI)


def _spread(values: Sequence[float]) -> float:
    """The standard deviation; 0 for a single value."""
    return statistics.stdev(values) if len(values) > 1 else 0
