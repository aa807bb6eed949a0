"""A comparison says that an artifact is better only if the runs and the number of classes allow it."""

from __future__ import annotations

import pytest
import torch

from trainer.evaluation.metrics import mcnemar, sign_flip
from trainer.evaluation.paired import compare_answers, corrected, with_verdict


def equal_artifacts(runs: int, frames: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Two equally good artifacts' right answers; in a run both are right on a share of their own."""
    shares = torch.rand(2, runs, 1, generator=generator)
    right = torch.rand(2, runs, frames, generator=generator) < shares
    return right[0].flatten(), right[1].flatten()


def test_equal_artifacts_rarely_seem_different_by_runs() -> None:
    """Of 400 pairs of equal artifacts on 8 runs of 25 frames, at most 7% get a verdict."""
    generator = torch.Generator().manual_seed(0)
    runs = [f"run{i // 25}" for i in range(200)]
    over_runs, over_frames = 0, 0
    for _ in range(400):
        old, new = equal_artifacts(8, 25, generator)
        over_runs += compare_answers(old, new, runs)["p"] < 0.05
        over_frames += compare_answers(old, new)["p"] < 0.05
    assert over_runs <= 28
    assert over_frames > 200


def test_a_better_artifact_is_found_by_runs() -> None:
    """An artifact that is ahead in each of 12 runs is better, and one ahead in each of four may be chance."""
    old, new = torch.tensor([True, False, False] * 12), torch.tensor([True, True, False] * 12)
    runs = [f"run{i // 3}" for i in range(36)]
    better = with_verdict(compare_answers(old, new, runs))
    assert (better["runs"], better["p"], better["verdict"]) == (12, 2 / 2**12, "new is better")
    few = with_verdict(compare_answers(old[:12], new[:12], runs[:12]))
    assert (few["p"], few["verdict"]) == (2 / 2**4, "no clear difference")
    worse = with_verdict(compare_answers(new, old, runs))
    assert worse["verdict"] == "new is worse"


def test_frames_of_their_own_are_mcnemars_test() -> None:
    """Without runs the p-value is McNemar's, and the sum of signs gives the same to the last digits."""
    old = torch.tensor([True] * 3 + [False] * 9 + [True] * 20)
    new = torch.tensor([False] * 3 + [True] * 9 + [True] * 20)
    assert compare_answers(old, new)["p"] == mcnemar(3, 9)
    assert sign_flip([1] * 12, 6) == pytest.approx(mcnemar(3, 9), rel=1e-12)


def test_the_sum_of_signs_by_hand() -> None:
    """Of the eight signs of 3, 2 and 1, two reach 6, four reach 4, and all reach 0."""
    assert sign_flip([3, 2, 1], 6) == 2 / 8
    assert sign_flip([3, 2, 1], -4) == 4 / 8
    assert sign_flip([3, 2, 1], 0) == 1
    assert sign_flip([], 0) == 1


def test_classes_are_corrected_for_their_number() -> None:
    """Holm's correction of p = 0.01, 0.04 and 0.03: three, two and one times, in order."""
    classes = {
        name: {"p": p, "only_old": 1, "only_new": 9} for name, p in (("a", 0.01), ("b", 0.04), ("c", 0.03))
    }
    found = corrected(classes)
    assert {name: each["p"] for name, each in found.items()} == pytest.approx(
        {"a": 0.03, "b": 0.06, "c": 0.06}
    )
    assert [each["verdict"] for each in found.values()] == [
        "new is better",
        "no clear difference",
        "no clear difference",
    ]


def test_of_fifty_equal_classes_none_seems_better() -> None:
    """Of 100 comparisons of 50 equal classes, at most ten call any class better or worse."""
    generator = torch.Generator().manual_seed(0)
    distinguished = 0
    for _ in range(100):
        right = torch.rand(2, 50, 40, generator=generator) < 0.8
        found = corrected({str(i): compare_answers(right[0, i], right[1, i]) for i in range(50)})
        distinguished += any(each["verdict"] != "no clear difference" for each in found.values())
    assert distinguished <= 10
