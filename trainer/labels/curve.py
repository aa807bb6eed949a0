"""A measured learning curve, whichever form has measured it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainer.errors import UsageError
from trainer.evaluation.metrics import evaluate
from trainer.labels.power_law import Measured

SHARES = {"eighth": 1 / 8, "quarter": 1 / 4, "half": 1 / 2, "all": 1.0}  # of the training frames
MIN_SIZES = 3  # two sizes fit every curve
_MIN_FRAMES = 16  # to learn from; of fewer, chance decides more than their number
_MIN_FRAMES_PER_CLASS = 3


@dataclass(frozen=True)
class Point:
    """One size: its training frames, and means over seeds; shares from 0 to 1."""

    n_train: float
    accuracy: float
    accuracy_sd: float  # over seeds
    macro_f1: float
    balanced_accuracy: float


@dataclass(frozen=True)
class Curve:
    """The points from the fewest frames to all of them, with the errors behind them."""

    of: str  # what was trained, in words
    points: list[Point]
    measured: Measured
    n_held_out: int


def shares_for(n: int, classes: int, source: object) -> dict[str, float]:
    """Return the shares of n training frames that are worth measuring, by name, the smallest first.

    Raises:
        UsageError: there are too few frames for a curve.
    """
    least = max(_MIN_FRAMES, _MIN_FRAMES_PER_CLASS * classes)
    shares = {name: share for name, share in SHARES.items() if share * n >= least}
    if len(shares) < MIN_SIZES:
        raise UsageError(
            f"{source}: {n} training frames are too few for a learning curve: a quarter of them must be "
            f"{least} frames; label {4 * least - n} more first"
        )
    return shares


def point(n_train: float, answers: Sequence[Tensor], labels: Tensor, classes: Sequence[str]) -> Point:
    """Summarize the answers ``[N, C]`` of each seed to held-out frames."""
    each = [evaluate(probabilities, labels, classes) for probabilities in answers]
    accuracies = [metrics["accuracy"] for metrics in each]
    return Point(
        n_train,
        float(np.mean(accuracies)),
        float(np.std(accuracies, ddof=1)) if len(accuracies) > 1 else 0.0,
        float(np.mean([metrics["macro_f1"] for metrics in each])),
        float(np.mean([metrics["balanced_accuracy"] for metrics in each])),
    )


def mistakes(answers: Sequence[Tensor], labels: Tensor, groups: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the number of wrong answers of each seed in each group, float64[R, G]."""
    wrong = torch.stack([each.argmax(dim=1) != labels for each in answers]).double().numpy()
    counts = np.zeros((len(answers), int(groups.max()) + 1))
    for row, each in zip(counts, wrong, strict=True):
        np.add.at(row, groups, each)
    return counts
