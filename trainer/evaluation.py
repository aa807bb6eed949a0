"""What a network's answers are worth: torchmetrics' definitions, with n, an interval, and by welding run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

import trainer.vision  # noqa: F401 - before torchmetrics, which imports torchvision wherever there is one

from torchmetrics.functional.classification import (  # isort: skip
    multiclass_confusion_matrix,
    multiclass_f1_score,
    multiclass_precision,
    multiclass_recall,
)


def evaluate(
    probabilities: Tensor, labels: Tensor, classes: Sequence[str], runs: Sequence[str | None] = ()
) -> dict[str, Any]:
    """Judge answers against true labels; all shares run from 0 to 1.

    Args:
        probabilities: ``[N, C]``, or anything whose largest entry is the answer.
        labels: int64[N].
        classes: names, in label order.
        runs: of each frame; empty or None where there are none.

    Returns:
        ``n``; ``accuracy`` (top-1) with its 95% ``accuracy_interval``; ``macro_f1``, the plain mean over the
        classes that occur; ``per_class`` with ``n precision recall f1`` (0 where nothing was answered);
        ``confusion`` (rows true, columns answered); ``by_run`` with ``n accuracy``.
    """
    answers, count = probabilities.argmax(dim=1), len(classes)
    right = answers == labels
    confusion = multiclass_confusion_matrix(answers, labels, count)
    each = {
        name: [round(share, 6) for share in metric(answers, labels, count, average="none").tolist()]
        for name, metric in (
            ("precision", multiclass_precision),
            ("recall", multiclass_recall),
            ("f1", multiclass_f1_score),
        )
    }
    return {
        "n": len(labels),
        "accuracy": right.double().mean().item(),
        "accuracy_interval": list(wilson(int(right.sum()), len(labels))),
        "macro_f1": round(multiclass_f1_score(answers, labels, count, average="macro").item(), 6),
        "per_class": {
            name: {"n": int(confusion[i].sum()), **{metric: values[i] for metric, values in each.items()}}
            for i, name in enumerate(classes)
        },
        "confusion": confusion.tolist(),
        "by_run": _by_run(right, runs),
    }


def wilson(right: int, n: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson's score interval for a share, 95% at ``z`` = 1.96.

    It takes frames as independent. Those of one welding run are not, so the truth is wider: see ``by_run``.
    """
    share, shrink = right / n, 1 + z * z / n
    centre = (share + z * z / (2 * n)) / shrink
    half = z / shrink * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)


def agreement(one: Tensor, other: Tensor) -> float:
    """Share of frames for which two networks' probabilities ``[N, C]`` name the same class."""
    return (one.argmax(dim=1) == other.argmax(dim=1)).double().mean().item()


def _by_run(right: Tensor, runs: Sequence[str | None]) -> dict[str, dict[str, float]]:
    result = {}
    for run in sorted({run for run in runs if run is not None}):
        chosen = right[torch.tensor([other == run for other in runs])]
        result[run] = {"n": len(chosen), "accuracy": chosen.double().mean().item()}
    return result
