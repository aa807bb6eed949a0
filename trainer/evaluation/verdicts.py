"""PASS, FAIL and REVIEW of an artifact on labelled frames, at the thresholds that it carries.

It is the station's rule (:mod:`inspector.network.classifier`) without the station's checks of the pixels,
which send a blank or a saturated image to REVIEW.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from inspector.network.metadata import Metadata, Thresholds, WeldClass
from trainer.evaluation.bounds import exact_interval
from trainer.evaluation.metrics import independent_groups, interval_over_runs

Chosen = tuple[Tensor, Tensor]  # the frames that count, and those that they are a share of: bool[N] each


def verdict_metrics(
    probabilities: Tensor,
    novelty: Tensor,
    labels: Tensor,
    metadata: Metadata,
    runs: Sequence[str | None] = (),
) -> dict[str, Any]:
    """Return the share of each verdict and of each mistake; see :func:`frames_by_verdict` and :func:`share`.

    ``novel`` are the reviewed frames that are unlike the training frames: false alarms, because all frames
    here are of known classes. ``escapes_by_class`` has the escapes of each defect class.

    Args:
        probabilities: ``[N, C]``.
        novelty: float32[N].
        labels: int64[N].
        metadata: with classes and thresholds.
        runs: the run of each frame.
    """
    classes = metadata.classes
    found = frames_by_verdict(probabilities, novelty, labels, metadata, classes)
    passed, every = found["passed"]
    _, _, novel = station_verdicts(probabilities, novelty, classes, metadata.thresholds)
    return {
        **{name: share(*chosen, runs) for name, chosen in found.items()},
        "novel": share(novel, every, runs),
        "escapes_by_class": {
            c.name: share(passed, labels == i, runs) for i, c in enumerate(classes) if c.role == "defect"
        },
    }


def frames_by_verdict(
    probabilities: Tensor,
    novelty: Tensor,
    labels: Tensor,
    metadata: Metadata,
    labelled: Sequence[WeldClass],
) -> Mapping[str, Chosen]:
    """Return the frames of each verdict and of each mistake.

    ``passed``, ``failed`` and ``review`` are of all frames, ``escapes`` are defective frames that PASS, and
    ``overkill`` are good frames that FAIL.

    Args:
        probabilities: ``[N, C]``.
        novelty: float32[N].
        labels: int64[N].
        metadata: of the artifact that answered.
        labelled: the classes that the labels number.
    """
    passed, failed, _ = station_verdicts(probabilities, novelty, metadata.classes, metadata.thresholds)
    good = torch.tensor([c.role == "accept" for c in labelled])[labels]
    every = torch.ones(len(labels), dtype=torch.bool)
    return {
        "passed": (passed, every),
        "failed": (failed, every),
        "review": (~passed & ~failed, every),
        "escapes": (passed, ~good),
        "overkill": (failed, good),
    }


def station_verdicts(
    probabilities: Tensor, novelty: Tensor, classes: Sequence[WeldClass], thresholds: Thresholds
) -> tuple[Tensor, Tensor, Tensor]:
    """Return which frames PASS, which FAIL, and which are novel, bool[N] each; arguments as above."""
    accepts = torch.tensor([c.role == "accept" for c in classes])
    fail_at = torch.tensor(
        [
            # Accepted classes never fail: no probability reaches 2
            thresholds.per_class.get(c.name, thresholds.defect) if c.role == "defect" else 2.0
            for c in classes
        ]
    )
    novel = novelty > (float("inf") if thresholds.novelty is None else thresholds.novelty)
    failed = ~novel & (probabilities >= fail_at).any(dim=1)
    passed = (
        ~novel & ~failed & bool(accepts.any()) & (probabilities[:, accepts].sum(dim=1) >= thresholds.accept)
    )
    return passed, failed, novel


def share(chosen: Tensor, of: Tensor, runs: Sequence[str | None]) -> dict[str, Any]:
    """Return a share with its count, n, and 95% interval; of no frames, share and interval are null.

    Without runs the interval is the exact one for n independent frames. If a run is known it is over runs
    (``interval_over``), because frames of a run are alike: the exact one for as many cases as there are
    ``runs``, or the one by resampling whole runs where that reaches further.

    Args:
        chosen: bool[N], the frames that count.
        of: bool[N], the frames that they are a share of.
        runs: the run of each frame.
    """
    counted, n = chosen[of], int(of.sum())
    if not n:
        return {
            "count": 0, "n": 0, "runs": None, "share": None, "interval": None, "interval_over": None
        }  # fmt: skip
    count = int(counted.sum())
    their_runs = [run for run, inside in zip(runs, of.tolist(), strict=True) if inside] if runs else []
    cases = len(set(independent_groups(n, their_runs)))
    low, high = exact_interval(count * cases / n, cases)
    resampled = interval_over_runs(counted, their_runs)
    if resampled:
        low, high = min(low, resampled[0]), max(high, resampled[1])
    return {
        "count": count,
        "n": n,
        "runs": cases if resampled else None,
        "share": count / n,
        "interval": [low, high],
        "interval_over": "runs" if resampled else "frames",
    }
