"""PASS, FAIL and REVIEW of an artifact on labelled frames, at the thresholds that it carries.

It is the station's rule (:mod:`inspector.network.classifier`) without the station's checks of the pixels,
which send a blank or a saturated image to REVIEW.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from inspector.network.metadata import Metadata, Thresholds, WeldClass
from trainer.evaluation.metrics import interval_over_runs, wilson


def verdict_metrics(
    probabilities: Tensor,
    novelty: Tensor,
    labels: Tensor,
    metadata: Metadata,
    runs: Sequence[str | None] = (),
) -> dict[str, Any]:
    """Return the share of each verdict and of each mistake, each with count, n and 95% intervals.

    ``passed``, ``failed`` and ``review`` are of all frames. ``novel`` are the reviewed frames that are unlike
    the training frames: false alarms, because all frames here are of known classes. ``escapes`` are defective
    frames that PASS, ``escapes_by_class`` the same for each defect class, and ``overkill`` are good frames
    that FAIL. A share of no frames is null.

    Args:
        probabilities: ``[N, C]``.
        novelty: float32[N].
        labels: int64[N].
        metadata: with classes and thresholds.
        runs: the run of each frame.
    """
    classes = metadata.classes
    passed, failed, novel = station_verdicts(probabilities, novelty, classes, metadata.thresholds)
    good = torch.tensor([c.role == "accept" for c in classes])[labels]
    every = torch.ones(len(labels), dtype=torch.bool)
    return {
        "passed": _share(passed, every, runs),
        "failed": _share(failed, every, runs),
        "review": _share(~passed & ~failed, every, runs),
        "novel": _share(novel, every, runs),
        "escapes": _share(passed, ~good, runs),
        "escapes_by_class": {
            c.name: _share(passed, labels == i, runs) for i, c in enumerate(classes) if c.role == "defect"
        },
        "overkill": _share(failed, good, runs),
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


def _share(chosen: Tensor, of: Tensor, runs: Sequence[str | None]) -> dict[str, Any]:
    counted, n = chosen[of], int(of.sum())
    if not n:
        return {"count": 0, "n": 0, "share": None, "interval": None, "interval_runs": None}
    count = int(counted.sum())
    their_runs = [run for run, inside in zip(runs, of.tolist(), strict=True) if inside] if runs else []
    return {
        "count": count,
        "n": n,
        "share": count / n,
        "interval": list(wilson(count, n)),
        "interval_runs": interval_over_runs(counted, their_runs),
    }
