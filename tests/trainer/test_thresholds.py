"""PASS and FAIL thresholds for wanted shares, by the station's own rule."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from inspector.network.metadata import WeldClass
from trainer.evaluation.bounds import exact_upper
from trainer.evaluation.promises import ClassEscapes
from trainer.evaluation.thresholds import MIN_FRAMES_PER_ROLE, choose_thresholds

CLASSES = [
    WeldClass(name="good", role="accept"),
    WeldClass(name="hole", role="defect"),
    WeldClass(name="dirt", role="defect"),
]
TWO = CLASSES[:2]


def frames(good: list[float], bad: list[float], dirt: list[float] | None = None) -> tuple[Tensor, Tensor]:
    """Probabilities and labels of frames, given their probability of 'good'; the rest is the true class's."""
    accepted = torch.tensor(good + bad + (dirt or []), dtype=torch.float64)
    labels = torch.tensor([0] * len(good) + [1] * len(bad) + [2] * len(dirt or []))
    rest, none = 1 - accepted, torch.zeros(len(accepted)).double()
    is_dirt = labels == 2
    columns = [accepted, rest.where(~is_dirt, none), rest.where(is_dirt, none)]
    return torch.stack(columns if dirt else columns[:2], dim=1), labels


def test_the_lowest_pass_threshold_that_promises_the_wanted_escapes() -> None:
    """Of 100 holes with one at 0.70 and one at 0.90, one escape shows 4.7% and none shows 3.0%."""
    probabilities, labels = frames([0.95] * 100, [0.05] * 98 + [0.70, 0.90])
    choice = choose_thresholds(probabilities, labels, TWO, escape=0.05, review=0.1)
    assert choice.thresholds.accept == pytest.approx(0.71)
    assert choice.escapes == {"hole": ClassEscapes(100, 1, 100, 1, 0.05, 0)}
    assert choice.promise.kept
    assert choice.promise.words.endswith(
        "at most 5.0% of the frames of each defect class PASS, with 95% confidence, from 100 held-out frames"
    )
    strict = choose_thresholds(probabilities, labels, TWO, escape=0.04, review=0.1)
    assert strict.thresholds.accept == pytest.approx(0.91)
    assert [point.escape for point in choice.trade] == sorted((p.escape for p in choice.trade), reverse=True)


def test_a_wish_that_the_frames_cannot_promise_is_named_with_what_is_missing() -> None:
    """A hundred holes promise 3.0%: none passes, and the text says how many more 1% needs."""
    probabilities, labels = frames([0.95] * 100, [0.05] * 98 + [0.70, 0.90])
    choice = choose_thresholds(probabilities, labels, TWO, escape=0.01, review=0.1)
    assert choice.thresholds.accept == pytest.approx(0.91)
    assert choice.escapes == {"hole": ClassEscapes(100, 0, 100, 0, pytest.approx(0.0295, abs=1e-4), 199)}
    assert choice.promise.words.endswith(
        "escapes within 1.0% cannot be promised: with 95% confidence at most 3.0% of the frames of class "
        "'hole' PASS, from 100 held-out frames; label 199 more frames of it and hold them out"
    )


def test_more_confidence_needs_more_frames() -> None:
    """At 99% confidence none of 100 holes promises 4.5%, so 359 more are needed for 1%."""
    probabilities, labels = frames([0.95] * 100, [0.05] * 100)
    choice = choose_thresholds(probabilities, labels, TWO, escape=0.01, review=0.1, confidence=0.99)
    assert choice.escapes == {"hole": ClassEscapes(100, 0, 100, 0, pytest.approx(0.045, abs=1e-4), 359)}


def test_each_defect_class_has_its_own_promise() -> None:
    """Three patches of dirt do not loosen the promise about 300 holes, and are not hidden by it."""
    probabilities, labels = frames([0.99] * 300, [0.02] * 299 + [0.95], [0.8, 0.85, 0.9])
    choice = choose_thresholds(probabilities, labels, CLASSES, escape=0.01, review=0.1)
    assert choice.thresholds.accept == pytest.approx(0.96)
    assert choice.escapes["dirt"] == ClassEscapes(3, 0, 3, 0, pytest.approx(0.6316, abs=1e-4), 296)
    assert choice.escapes["hole"] == ClassEscapes(300, 0, 300, 0, 0.01, 0)
    assert "nothing about class 'dirt' can be promised from 3 held-out frames" in choice.promise.words


def test_a_class_without_frames_is_named() -> None:
    """Nothing is promised about a defect class that no held-out frame shows, and the text names it."""
    probabilities, labels = frames([0.99] * 100, [0.02] * 100)
    probabilities = torch.cat([probabilities, torch.zeros(200, 1).double()], dim=1)
    choice = choose_thresholds(probabilities, labels, CLASSES, escape=0.05, review=0.1)
    assert choice.escapes["dirt"] == ClassEscapes(0, 0, 0, 0, 1.0, 59)
    assert "nothing about class 'dirt' can be promised from 0 held-out frames" in choice.promise.words


def test_escapes_are_counted_in_runs() -> None:
    """None of 100 frames of ten runs promises 25.9%, not 3.0%; one frame of each run counts."""
    probabilities, labels = frames([0.99] * 100, [0.02] * 100)
    runs = [f"run{i // 10}" for i in range(200)]
    choice = choose_thresholds(probabilities, labels, TWO, runs, escape=0.01, review=0.1)
    assert choice.escapes == {"hole": ClassEscapes(100, 0, 10, 0, pytest.approx(0.2589, abs=1e-4), 289)}
    assert choice.promise.words.endswith(
        "from 100 held-out frames of 10 runs; label 289 more runs of it and hold them out"
    )


def test_if_even_the_strictest_threshold_lets_too_many_pass_their_bound_is_promised() -> None:
    """Of 50 holes five pass with certainty: the strictest threshold is used, and 20% is promised."""
    probabilities, labels = frames([1.0] * 50, [0.02] * 45 + [1.0] * 5)
    choice = choose_thresholds(probabilities, labels, TWO, escape=0.1, review=0.1)
    assert choice.thresholds.accept == 0.999
    assert choice.escapes["hole"].at_most == exact_upper(5, 50)
    assert exact_upper(5, 50 + choice.escapes["hole"].label_more) <= 0.1


def test_tuning_frames_choose_the_fail_threshold_and_nothing_else() -> None:
    """The promise and the curve ignore the tuning frames, and the FAIL threshold ignores all others."""
    probabilities, labels = frames([0.95] * 200, [0.02] * 80 + [0.25] * 20 + [0.02] * 80 + [0.97] * 20)
    tuning = torch.arange(400) % 200 < 100
    few, many = (
        choose_thresholds(probabilities, labels, TWO, (), tuning, escape=0.3, review=review)
        for review in (0.05, 0.2)
    )
    assert few.thresholds.defect <= 0.75 < many.thresholds.defect, (
        "20 tuning defects of 0.75 FAIL, or are REVIEW"
    )
    assert few.escapes == many.escapes == {"hole": ClassEscapes(100, 20, 100, 20, 0.3, 0)}
    swapped = choose_thresholds(probabilities, labels, TWO, (), ~tuning, escape=0.3, review=0.05)
    assert swapped.escapes == {"hole": ClassEscapes(100, 0, 100, 0, 0.3, 0)}


def test_without_tuning_frames_the_fail_threshold_stays_at_its_default() -> None:
    """No frame may choose it then, because all are for the promise and the figures."""
    probabilities, labels = frames([0.95] * 100, [0.02] * 100)
    assert choose_thresholds(probabilities, labels, TWO, escape=0.05, review=0.1).thresholds.defect == 0.5


def test_too_few_frames_leave_the_defaults() -> None:
    """With too few frames the thresholds stay at their defaults, and the promise is what they show."""
    probabilities, labels = frames([0.9] * 100, [0.1] * (MIN_FRAMES_PER_ROLE - 1))
    choice = choose_thresholds(probabilities, labels, TWO, escape=0.01, review=0.1)
    thresholds = choice.thresholds
    assert (thresholds.accept, thresholds.defect, choice.trade) == (0.5, 0.5, [])
    assert thresholds.chosen.startswith("default: 100 good and 29 defective")
    assert "at most 9.8% of the frames of class 'hole' PASS" in choice.promise.words
    nothing = choose_thresholds(*frames([0.9] * 2, [0.1] * 2), TWO, escape=0.01, review=0.1)
    assert "nothing about class 'hole' can be promised from 2 held-out frames" in nothing.promise.words


def test_without_an_accept_class_nothing_can_pass() -> None:
    """A network that only names defects keeps every promise, from any number of frames."""
    probabilities, labels = frames([0.1] * 2, [0.9] * 2)
    defects = [WeldClass(name=name, role="defect") for name in ("crack", "hole")]
    choice = choose_thresholds(probabilities, labels, defects, escape=0.01, review=0.1)
    assert choice.promise.kept
    assert [each.at_most for each in choice.escapes.values()] == [0, 0]


shares = st.lists(st.floats(0, 1), min_size=MIN_FRAMES_PER_ROLE, max_size=60)


@settings(max_examples=40, deadline=None)
@given(shares, shares)
def test_no_lower_threshold_keeps_the_promise(good: list[float], bad: list[float]) -> None:
    """The chosen threshold keeps the promise and the next lower one does not, or it is the strictest."""
    choice = choose_thresholds(*frames(good, bad), TWO, escape=0.2, review=0.3)
    place = next(i for i, each in enumerate(choice.trade) if each.accept == choice.thresholds.accept)
    promised = choice.escapes["hole"].at_most
    assert choice.trade[place].escape_at_most <= promised
    ends = (0, len(choice.trade) - 1)
    assert place in ends or choice.trade[place - 1].escape_at_most > promised
