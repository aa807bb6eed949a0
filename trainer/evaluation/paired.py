"""Tests of whether two artifacts differ on the same frames by more than chance, with runs as observations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from trainer.evaluation.metrics import (
    independent_groups,
    interval_over_frames,
    interval_over_runs,
    mcnemar,
    sign_flip,
)

SIGNIFICANCE_LEVEL = 0.05  # p-values below this count as a difference


def compare_answers(old: Tensor, new: Tensor, runs: Sequence[str | None] = ()) -> dict[str, Any]:
    """Compare which frames two artifacts have right, bool[N] each.

    Frames of a run are alike, so each run is one observation: by how many frames the new artifact leads in
    it. If the artifacts are equally good, each run's lead is as likely to be the other's. If each frame is a
    run of its own, this is McNemar's test.
    """
    lead = new.int() - old.int()
    only_old, only_new = int((lead < 0).sum()), int((lead > 0).sum())
    groups = torch.tensor(independent_groups(len(old), runs))
    leads = torch.bincount(groups, weights=lead.double()).long()
    moved = leads[leads != 0].abs().tolist()
    alone = len(moved) == only_old + only_new  # each frame that only one has right is a run of its own
    return {
        "frames": len(old),
        "runs": len(leads),
        "old": _accuracy(old, runs),
        "new": _accuracy(new, runs),
        "only_old": only_old,
        "only_new": only_new,
        "p": mcnemar(only_old, only_new) if alone else sign_flip(moved, only_new - only_old),
    }


def with_verdict(compared: dict[str, Any]) -> dict[str, Any]:
    """Add the verdict that ``p`` allows."""
    verdict = "no clear difference"
    if compared["p"] < SIGNIFICANCE_LEVEL:
        verdict = "new is better" if compared["only_new"] > compared["only_old"] else "new is worse"
    return compared | {"verdict": verdict}


def corrected(per_class: Mapping[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Correct each class's ``p`` for the number of classes (Holm 1979), and add its verdict.

    Of many equal classes one would seem better or worse by chance: of 50, in three of four comparisons.
    """
    adjusted = holm({name: compared["p"] for name, compared in per_class.items()})
    return {name: with_verdict(compared | {"p": adjusted[name]}) for name, compared in per_class.items()}


def holm(p: Mapping[str, float]) -> dict[str, float]:
    """Correct p-values for their number (Holm 1979)."""
    least = 0.0
    adjusted: dict[str, float] = {}
    for done, (name, each) in enumerate(sorted(p.items(), key=lambda item: item[1])):
        least = max(least, min(1.0, (len(p) - done) * each))
        adjusted[name] = least
    return adjusted


def _accuracy(right: Tensor, runs: Sequence[str | None]) -> dict[str, Any]:
    count, n = int(right.sum()), len(right)
    return {
        "accuracy": count / n,
        "accuracy_interval": interval_over_frames(right, runs),
        "accuracy_interval_runs": interval_over_runs(right, runs),
    }
