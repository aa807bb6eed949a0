"""Metrics of a network's answers, as torchmetrics defines them, with n, intervals, and by welding run."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import NotRequired, TypedDict

import torch
from torch import Tensor

import trainer.network.torchvision  # noqa: F401 - before torchmetrics, which imports torchvision if it can

from torchmetrics.functional.classification import (  # isort: skip
    multiclass_calibration_error,
    multiclass_confusion_matrix,
    multiclass_f1_score,
    multiclass_precision,
    multiclass_recall,
)

_BOOTSTRAP_DRAWS = 2000
_MIN_RUNS_TO_RESAMPLE = 5  # a bootstrap over fewer has too little to vary


class ClassMetrics(TypedDict):
    """Metrics of one class: shares from 0 to 1, and 0 if no frame was answered as this class."""

    n: int  # frames of the class
    precision: float
    recall: float
    f1: float


class RunMetrics(TypedDict):
    """Metrics of one welding run."""

    n: int  # frames of the run
    accuracy: float


class ModelMetrics(TypedDict):
    """Metrics of one network or ensemble; shares from 0 to 1."""

    n: int
    accuracy: float  # of the top class
    accuracy_interval: list[float] | None  # 95%, Wilson, of independent frames; None if a run is known
    accuracy_interval_runs: list[float] | None  # 95%, as wide as so few runs allow; None if no run is known
    calibration_error: float  # expected calibration error
    macro_f1: float  # plain mean over the classes that occur
    balanced_accuracy: NotRequired[float]  # mean recall of these classes; see :func:`balanced_accuracy`
    per_class: dict[str, ClassMetrics]
    confusion: list[list[int]]  # rows true, columns answered
    by_run: dict[str, RunMetrics]
    cross_entropy: NotRequired[float]  # nats; runs of earlier versions lack it


def evaluate(
    probabilities: Tensor, labels: Tensor, classes: Sequence[str], runs: Sequence[str | None] = ()
) -> ModelMetrics:
    """Judge answers against true labels.

    Args:
        probabilities: ``[N, C]``.
        labels: int64[N].
        classes: names, in label order.
        runs: the run of each frame; empty, or None for frames without a run.
    """
    answers, count = probabilities.argmax(dim=1), len(classes)
    right = answers == labels
    confusion = multiclass_confusion_matrix(answers, labels, count)
    by_metric = {
        name: [round(share, 6) for share in metric(answers, labels, count, average="none").tolist()]
        for name, metric in (
            ("precision", multiclass_precision),
            ("recall", multiclass_recall),
            ("f1", multiclass_f1_score),
        )
    }
    per_class: dict[str, ClassMetrics] = {
        name: {
            "n": int(confusion[i].sum()),
            "precision": by_metric["precision"][i],
            "recall": by_metric["recall"][i],
            "f1": by_metric["f1"][i],
        }
        for i, name in enumerate(classes)
    }
    return {
        "n": len(labels),
        "accuracy": right.double().mean().item(),
        "accuracy_interval": interval_over_frames(right, runs),
        "accuracy_interval_runs": interval_over_runs(right, runs),
        "calibration_error": calibration_error(probabilities, labels),
        "macro_f1": macro_f1(answers, labels, count),
        "balanced_accuracy": balanced_accuracy(per_class),
        "per_class": per_class,
        "confusion": confusion.tolist(),
        "by_run": _by_run(right, runs),
    }


def macro_f1(answers: Tensor, labels: Tensor, classes: int) -> float:
    """Return the mean F1 score of the classes that occur in the labels or in the answers."""
    return round(multiclass_f1_score(answers, labels, classes, average="macro").item(), 6)


def balanced_accuracy(per_class: Mapping[str, ClassMetrics]) -> float:
    """Return the mean recall of the classes that occur: each counts alike, however few frames it has."""
    recalls = [each["recall"] for each in per_class.values() if each["n"]]
    return round(statistics.fmean(recalls), 6) if recalls else 0.0


def calibration_error(probabilities: Tensor, labels: Tensor, bins: int = 15) -> float:
    """Expected calibration error: mean distance of accuracy from confidence over bins, 0 to 1."""
    error = multiclass_calibration_error(
        probabilities, labels, probabilities.shape[1], n_bins=bins, norm="l1"
    )
    return round(error.item(), 6)


def reliability(probabilities: Tensor, labels: Tensor, bins: int = 10) -> list[dict[str, float]]:
    """Mean ``confidence``, ``accuracy`` and ``n`` of each bin of confidence that has frames."""
    confidence, answers = probabilities.max(dim=1)
    right = (answers == labels).double()
    number = (confidence * bins).long().clamp(0, bins - 1)
    return [
        {
            "confidence": confidence[number == i].double().mean().item(),
            "accuracy": right[number == i].mean().item(),
            "n": int((number == i).sum()),
        }
        for i in range(bins)
        if (number == i).any()
    ]


def mcnemar(only_first: int, only_second: int) -> float:
    """Exact two-sided p-value for two equally good networks (McNemar 1947).

    Args:
        only_first: number of frames that only the first has right.
        only_second: number of frames that only the second has right.
    """
    n, fewer = only_first + only_second, min(only_first, only_second)
    tail: int = sum(math.comb(n, i) for i in range(fewer + 1))
    return min(
        1.0, float(2 * tail / 2**n)
    )  # whole numbers until here, so nothing is rounded for any number of frames


def sign_flip(sizes: Sequence[int], total: int) -> float:
    """Exact two-sided p-value of a sum of which each part is as likely to be negative as positive.

    Args:
        sizes: of the parts, each at least 1.
        total: the sum that was found.
    """
    reach = sum(sizes)
    chance = torch.zeros(2 * reach + 1, dtype=torch.float64)  # of each sum from -reach to reach
    chance[reach] = 1.0
    for size in sizes:
        chance = (chance.roll(size) + chance.roll(-size)) / 2
    sums = torch.arange(-reach, reach + 1)
    return min(1.0, chance[sums.abs() >= abs(total)].sum().item())


def wilson(right: float, n: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson's score interval for a share, 95% at ``z`` = 1.96.

    It treats the n cases as independent. Frames of one welding run are not: take n = number of runs for them,
    and ``right`` = n times the share.
    """
    share, shrink = right / n, 1 + z * z / n
    centre = (share + z * z / (2 * n)) / shrink
    half = z / shrink * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)


def independent_groups(n: int, runs: Sequence[str | None]) -> list[int]:
    """A number for the run of each of n frames; a frame without a run is a run of its own."""
    numbers: dict[str | int, int] = {}
    keys = [run if run is not None else i for i, run in enumerate(runs or [None] * n)]
    return [numbers.setdefault(key, len(numbers)) for key in keys]


def agreement(first: Tensor, second: Tensor) -> float:
    """Share of frames with the same top class in both networks' probabilities ``[N, C]``."""
    return (first.argmax(dim=1) == second.argmax(dim=1)).double().mean().item()


def interval_over_frames(right: Tensor, runs: Sequence[str | None]) -> list[float] | None:
    """Wilson's 95% interval of a share of independent frames, bool[N]; None if a run is known."""
    known = any(run is not None for run in runs)
    return None if known else list(wilson(int(right.sum()), len(right)))


def interval_over_runs(right: Tensor, runs: Sequence[str | None]) -> list[float] | None:
    """95% interval of a share by resampling whole runs, because frames of a run are alike.

    It is never narrower than Wilson's with n = number of runs: a bootstrap of runs that are all right has no
    width, although few runs show little. None if no run is known.

    Args:
        right: bool[N], the frames that count.
        runs: the run of each frame; a frame without a run is a run of its own.
    """
    if all(run is None for run in runs):
        return None
    groups = torch.tensor(independent_groups(len(right), runs))
    total = torch.bincount(groups).double()
    low, high = wilson(right.double().mean().item() * len(total), len(total))
    if len(total) >= _MIN_RUNS_TO_RESAMPLE:
        hits = torch.bincount(groups, weights=right.double(), minlength=len(total))
        generator = torch.Generator().manual_seed(0)  # the same frames give the same interval
        drawn = torch.randint(len(total), (_BOOTSTRAP_DRAWS, len(total)), generator=generator)
        shares = hits[drawn].sum(dim=1) / total[drawn].sum(dim=1)
        drawn_low, drawn_high = torch.quantile(
            shares, torch.tensor([0.025, 0.975], dtype=torch.float64)
        ).tolist()
        low, high = min(low, drawn_low), max(high, drawn_high)
    return [low, high]


def _by_run(right: Tensor, runs: Sequence[str | None]) -> dict[str, RunMetrics]:
    result: dict[str, RunMetrics] = {}
    for run in sorted({run for run in runs if run is not None}):
        chosen = right[torch.tensor([name == run for name in runs])]
        result[run] = {"n": len(chosen), "accuracy": chosen.double().mean().item()}
    return result
