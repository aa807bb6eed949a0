"""PASS and FAIL thresholds for wanted shares, by the station's own rule."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from inspector.network.metadata import WeldClass
from trainer.evaluation.thresholds import MIN_FRAMES_PER_ROLE, ClassEscapes, choose_thresholds

CLASSES = [
    WeldClass(name="good", role="accept"),
    WeldClass(name="hole", role="defect"),
    WeldClass(name="dirt", role="defect"),
]


def frames(good: list[float], bad: list[float], dirt: list[float] | None = None) -> tuple[Tensor, Tensor]:
    """Probabilities and labels of frames, given their probability of 'good'; the rest is the true class's."""
    dirt = dirt or []
    accepted = torch.tensor(good + bad + dirt, dtype=torch.float64)
    labels = torch.tensor([0] * len(good) + [1] * len(bad) + [2] * len(dirt))
    rest, none = 1 - accepted, torch.zeros(len(accepted)).double()
    is_dirt = labels == 2
    return torch.stack([accepted, rest.where(~is_dirt, none), rest.where(is_dirt, none)], dim=1), labels


def test_the_lowest_pass_threshold_that_shows_the_wanted_escapes() -> None:
    """Of 100 holes with one at 0.70 and one at 0.90, one escape shows 5.4% and none shows 3.7%."""
    probabilities, labels = frames([0.95] * 100, [0.05] * 98 + [0.70, 0.90])
    choice = choose_thresholds(probabilities, labels, CLASSES, escape=0.06, review=0.1)
    assert choice.thresholds.accept == pytest.approx(0.71)
    assert choice.escapes["hole"] == ClassEscapes(100, 100, 1, pytest.approx(0.0545, abs=1e-4))
    assert (
        "1 of 100 frames of the worst class, hole, pass (95% interval up to 5.4%)" in choice.thresholds.chosen
    )
    strict = choose_thresholds(probabilities, labels, CLASSES, escape=0.04, review=0.1)
    assert strict.thresholds.accept == pytest.approx(0.91)
    assert [point.escape for point in choice.trade] == sorted((p.escape for p in choice.trade), reverse=True)


def test_a_wish_that_the_frames_cannot_show_is_named() -> None:
    """A hundred holes show at best 3.7%: the threshold lets none of them pass, and the text says so."""
    probabilities, labels = frames([0.95] * 100, [0.05] * 98 + [0.70, 0.90])
    choice = choose_thresholds(probabilities, labels, CLASSES, escape=0.01, review=0.1)
    assert choice.thresholds.accept == pytest.approx(0.91)
    assert "up to 3.7%: more frames or runs are needed to show less)" in choice.thresholds.chosen


def test_the_worst_defect_class_decides() -> None:
    """Three patches of dirt that all look good are not hidden by 300 holes that all look bad."""
    probabilities, labels = frames([0.99] * 300, [0.02] * 300, [0.8, 0.85, 0.9])
    choice = choose_thresholds(probabilities, labels, CLASSES, escape=0.013, review=0.1)
    assert choice.thresholds.accept == pytest.approx(0.91)
    assert choice.escapes["dirt"] == ClassEscapes(3, 3, 0, pytest.approx(0.5615, abs=1e-4))
    assert choice.escapes["hole"] == ClassEscapes(300, 300, 0, pytest.approx(0.0126, abs=1e-4))
    assert "0 of 3 frames of the worst class, dirt, pass" in choice.thresholds.chosen


def test_a_class_without_frames_is_named() -> None:
    """Nothing is known of a defect class that no held-out frame shows, and the text names it."""
    probabilities, labels = frames([0.99] * 100, [0.02] * 100)
    choice = choose_thresholds(probabilities, labels, CLASSES, escape=0.05, review=0.1)
    assert choice.escapes["dirt"] == ClassEscapes(0, 0, 0, 1.0)
    assert choice.thresholds.chosen.endswith("no held-out frame shows dirt")


def test_escapes_are_counted_in_runs() -> None:
    """None of 100 frames of ten runs shows at most 27.8%, not 3.7%."""
    probabilities, labels = frames([0.99] * 100, [0.02] * 100)
    runs = [f"run{i // 10}" for i in range(200)]
    choice = choose_thresholds(probabilities, labels, CLASSES, runs, escape=0.3, review=0.1)
    assert choice.escapes["hole"] == ClassEscapes(100, 10, 0, pytest.approx(0.2775, abs=1e-4))
    assert "0 of 100 frames of 10 runs of the worst class, hole, pass" in choice.thresholds.chosen


@pytest.mark.parametrize(("n", "escape"), [(100, 0.05), (600, 0.01), (100, 0.01)])
def test_the_promised_escapes_hold_on_other_frames(n: int, escape: float) -> None:
    """Of 200 draws, at most 5% choose a threshold at which more escapes than the text promises."""
    generator = torch.Generator().manual_seed(n)
    broken = 0
    for _ in range(200):
        bad = torch.rand(n, generator=generator).tolist()  # so that a share of 1 - accept escapes in truth
        choice = choose_thresholds(*frames([0.9999] * 30, bad), CLASSES, escape=escape, review=0.1)
        promised = max(escape, choice.escapes["hole"].at_most)
        broken += 1 - choice.thresholds.accept > promised
    assert broken <= 10


def test_the_highest_fail_threshold_within_the_wanted_reviews() -> None:
    """Twenty defects of 0.75 must FAIL if 5% of reviews are wanted, and may be REVIEW with 20%."""
    probabilities, labels = frames([0.95] * 100, [0.02] * 80 + [0.25] * 20)
    few = choose_thresholds(probabilities, labels, CLASSES, escape=0.05, review=0.05)
    many = choose_thresholds(probabilities, labels, CLASSES, escape=0.05, review=0.2)
    assert few.thresholds.defect <= 0.75 < many.thresholds.defect


def test_too_few_frames_leave_the_defaults() -> None:
    """With too few frames the thresholds stay at their defaults, and the reason names the numbers."""
    probabilities, labels = frames([0.9] * 100, [0.1] * (MIN_FRAMES_PER_ROLE - 1))
    choice = choose_thresholds(probabilities, labels, CLASSES, escape=0.01, review=0.1)
    thresholds = choice.thresholds
    assert (thresholds.accept, thresholds.defect, choice.trade) == (0.5, 0.5, [])
    assert thresholds.chosen.startswith("default: 100 good and 29 defective")


shares = st.lists(st.floats(0, 1), min_size=MIN_FRAMES_PER_ROLE, max_size=60)


@settings(max_examples=40, deadline=None)
@given(shares, shares)
def test_no_other_threshold_shows_less_escapes_if_the_wish_is_not_met(
    good: list[float], bad: list[float]
) -> None:
    """The shares that the worst class shows meet the wish, or no PASS threshold shows less."""
    probabilities, labels = frames(good, bad)
    choice = choose_thresholds(probabilities, labels, CLASSES, escape=0.2, review=0.3)
    chosen = next(point for point in choice.trade if point.accept == choice.thresholds.accept)
    fails = probabilities[:, 1:].amax(1) >= choice.thresholds.defect
    passes = (probabilities[:, 0] >= choice.thresholds.accept) & ~fails
    assert chosen.escape == passes[labels == 1].double().mean().item()
    assert chosen.escape_at_most == choice.escapes["hole"].at_most
    assert chosen.escape_at_most <= max(0.2, min(point.escape_at_most for point in choice.trade))
