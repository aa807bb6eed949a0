"""Pictures of a run; the CSV and JSON files next to them have the numbers."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from trainer.data.frames import FrameSet
from trainer.errors import RunError
from trainer.evaluation.metrics import ModelMetrics, reliability

_DPI = 120
_COLUMNS, _ROWS = 6, 4  # at most, on a contact sheet


def curves(logs: Sequence[Path], out: Path) -> None:
    """Draw loss and accuracy by epoch of every network, as in the paper's Figures 12 and 14.

    Solid lines are the training views. Dashed lines are the held-out frames, by which nothing was chosen. A
    student's training loss is against soft labels, so it ends above zero.

    Args:
        logs: the run folder's CSV files, one per network.
        out: PNG to write.

    Raises:
        RunError: a file is damaged.
    """
    figure = Figure(figsize=(11, 4.5), layout="constrained")
    axes = dict(zip(("loss", "accuracy"), figure.subplots(1, 2), strict=True))
    for number, log in enumerate(logs):
        history = _history(log)
        for name, axis in axes.items():
            for part, style in (("train", "-"), ("valid", "--")):
                values = [row[f"{part}_{name}"] for row in history]
                label = log.stem if part == "train" else None
                axis.plot([row["epoch"] for row in history], values, style, color=f"C{number}", label=label)
            axis.set(xlabel="epoch", ylabel=name)
            axis.xaxis.set_major_locator(MaxNLocator(integer=True))  # there is no epoch 2.5
    axes["loss"].set_yscale("log")  # on a linear axis a diverging epoch would flatten all others
    axes["accuracy"].set_ylim(0, 1)
    axes["accuracy"].legend(title="solid: training, dashed: held out")
    figure.savefig(out, dpi=_DPI)


def _history(log: Path) -> list[dict[str, float]]:
    names = ["epoch", *(f"{part}_{name}" for part in ("train", "valid") for name in ("loss", "accuracy"))]
    try:
        with log.open(encoding="utf-8") as stream:
            return [{name: float(row[name]) for name in names} for row in csv.DictReader(stream)]
    except (KeyError, TypeError, ValueError, csv.Error):
        raise RunError(
            f"{log}: is damaged, as after a power cut; remove it, and the same command goes on"
        ) from None


def confusion(metrics: ModelMetrics, out: Path) -> None:
    """Draw the confusion matrix: rows true, columns answered; frames, and their share of the true class."""
    names, counts = list(metrics["per_class"]), metrics["confusion"]
    side = 2.5 + 0.6 * len(names)
    figure = Figure(figsize=(side, side), layout="constrained")
    axis = figure.subplots()
    shares = [[count / max(sum(row), 1) for count in row] for row in counts]
    axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for y, row in enumerate(counts):
        for x, count in enumerate(row):
            if count:
                color = "wk"[shares[y][x] < 0.5]
                axis.text(x, y - 0.13, str(count), ha="center", va="center", color=color)
                axis.text(
                    x, y + 0.2, f"{shares[y][x]:.0%}", ha="center", va="center", color=color, fontsize=7
                )
    axis.set_xticks(range(len(names)), names, rotation=45, ha="right")
    axis.set_yticks(range(len(names)), names)
    axis.set(xlabel="answered", ylabel="true", title=f"{metrics['accuracy']:.1%} of {metrics['n']} frames")
    figure.savefig(out, dpi=_DPI)


def calibration(probabilities: Tensor, labels: Tensor, error: float, out: Path) -> None:
    """Draw accuracy against confidence; calibrated answers are on the diagonal."""
    figure = Figure(figsize=(5, 5), layout="constrained")
    axis = figure.subplots()
    axis.plot([0, 1], [0, 1], ":", color="grey")
    bins = reliability(probabilities, labels)
    points = [(bin_["confidence"], bin_["accuracy"]) for bin_ in bins]
    axis.plot(*zip(*points, strict=True), "o-")
    for point, bin_ in zip(points, bins, strict=True):
        axis.annotate(f"n={bin_['n']}", point, fontsize=7, rotation=30)
    axis.set(xlabel="confidence", ylabel="accuracy", xlim=(0, 1), ylim=(0, 1.05))
    axis.set_title(f"expected calibration error {error:.3f}, n = {len(labels)}")
    figure.savefig(out, dpi=_DPI)


def mistakes(probabilities: Tensor, frames: FrameSet, classes: Sequence[str], out: Path) -> None:
    """Draw a contact sheet of the wrong answers of highest confidence, each with file, class and answer."""
    confidence, answers = probabilities.max(dim=1)
    wrong = (answers != frames.labels).nonzero().flatten()
    worst = wrong[confidence[wrong].argsort(descending=True)].tolist()
    rows = min(_ROWS, max(1, math.ceil(len(worst) / _COLUMNS)))
    figure = Figure(figsize=(2.3 * _COLUMNS, 0.6 + 2.8 * rows), layout="constrained")
    figure.suptitle(f"{len(worst)} of {len(frames)} answers are wrong; the surest of them")
    cells: Sequence[Axes] = figure.subplots(rows, _COLUMNS).flatten()
    for axis in cells:
        axis.set_axis_off()
    for row, axis in zip(worst, cells, strict=False):
        axis.imshow(frames.images[row, 0].numpy(), cmap="gray", vmin=0, vmax=255)
        true, answer = classes[int(frames.labels[row])], classes[int(answers[row])]
        title = f"{true}\n→ {answer} {confidence[row]:.0%}\n{frames.frames[row].name[-36:]}"
        axis.set_title(title, fontsize=6)
    figure.savefig(out, dpi=_DPI)


def trade_off(thresholds: dict[str, Any], out: Path) -> None:
    """Draw escapes, overkill and reviews for each PASS threshold, and the chosen threshold."""
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axis = figure.subplots()
    points = thresholds["trade"]
    for name, label in (
        ("escape", "defective frames that PASS"),
        ("escape_at_most", "the worst defect class's, at most"),
        ("overkill", "good frames that FAIL"),
        ("review", "frames in REVIEW"),
    ):
        axis.plot([point["accept"] for point in points], [100 * point[name] for point in points], label=label)
    axis.axvline(thresholds["accept"], color="grey", linestyle=":", label="chosen")
    axis.set(xlabel="PASS threshold", ylabel="%")
    axis.set_title(f"FAIL threshold {thresholds['defect']:.2f}")
    axis.legend()
    figure.savefig(out, dpi=_DPI)
