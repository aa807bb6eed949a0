"""PASS and FAIL thresholds for wanted shares, by the station's own rule."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from inspector.network.metadata import WeldClass
from trainer.evaluation.thresholds import MIN_FRAMES_PER_ROLE, choose_thresholds

CLASSES = [
    WeldClass(name="good", role="accept"),
    WeldClass(name="hole", role="defect"),
    WeldClass(name="dirt", role="defect"),
]


def frames(good: list[float], bad: list[float]) -> tuple[Tensor, Tensor]:
    """Probabilities and labels of frames, given their probability of 'good'; the rest is 'hole'."""
    accepted = torch.tensor(good + bad, dtype=torch.float64)
    probabilities = torch.stack([accepted, 1 - accepted, torch.zeros(len(accepted)).double()], dim=1)
    return probabilities, torch.tensor([0] * len(good) + [1] * len(bad))


def test_the_lowest_pass_threshold_within_the_wanted_escapes() -> None:
    """If two of 100 defects have 0.70 and 0.90 for good, 1% of escapes needs a threshold just above 0.70."""
    probabilities, labels = frames([0.95] * 100, [0.05] * 98 + [0.70, 0.90])
    thresholds, curve = choose_thresholds(probabilities, labels, CLASSES, escape=0.01, review=0.1)
    assert thresholds.accept == pytest.approx(0.71)
    assert "1 of 100 defective frames pass (95% interval up to 5.4%)" in thresholds.chosen
    strict, _ = choose_thresholds(probabilities, labels, CLASSES, escape=0.001, review=0.1)
    assert strict.accept == pytest.approx(0.91)
    assert [point.escape for point in curve] == sorted((p.escape for p in curve), reverse=True)


def test_the_highest_fail_threshold_within_the_wanted_reviews() -> None:
    """Twenty defects of 0.75 must FAIL if 5% of reviews are wanted, and may be REVIEW with 20%."""
    probabilities, labels = frames([0.95] * 100, [0.02] * 80 + [0.25] * 20)
    few, _ = choose_thresholds(probabilities, labels, CLASSES, escape=0.01, review=0.05)
    many, _ = choose_thresholds(probabilities, labels, CLASSES, escape=0.01, review=0.2)
    assert few.defect <= 0.75 < many.defect


def test_too_few_frames_leave_the_defaults() -> None:
    """With too few frames the thresholds stay at their defaults, and the reason names the numbers."""
    probabilities, labels = frames([0.9] * 100, [0.1] * (MIN_FRAMES_PER_ROLE - 1))
    thresholds, curve = choose_thresholds(probabilities, labels, CLASSES, escape=0.01, review=0.1)
    assert (thresholds.accept, thresholds.defect, curve) == (0.5, 0.5, [])
    assert thresholds.chosen.startswith("default: 100 good and 29 defective")


shares = st.lists(st.floats(0, 1), min_size=MIN_FRAMES_PER_ROLE, max_size=60)


@settings(max_examples=40, deadline=None)
@given(shares, shares)
def test_escapes_are_within_the_wanted_share(good: list[float], bad: list[float]) -> None:
    """Escapes by the station's rule are within the wanted share if any threshold allows it."""
    probabilities, labels = frames(good, bad)
    thresholds, curve = choose_thresholds(probabilities, labels, CLASSES, escape=0.1, review=0.3)
    fails = probabilities[:, 1:].amax(1) >= thresholds.defect
    passes = (probabilities[:, 0] >= thresholds.accept) & ~fails
    escape = passes[labels == 1].double().mean().item()
    assert escape <= 0.1 or thresholds.accept == pytest.approx(0.999)
    assert any(point.accept == thresholds.accept and point.escape == escape for point in curve)
