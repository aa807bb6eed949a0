"""The learning curve's law: what it finds in errors that follow one, and when it says nothing."""

from __future__ import annotations

import numpy as np
import pytest

from trainer.errors import UsageError
from trainer.labels.curve import Curve, Point, shares_for
from trainer.labels.learning_curve import look_ahead
from trainer.labels.power_law import Measured, fit


def measured(level: float, slope: float, frames: int = 2000, seed: int = 0) -> Measured:
    """Draw mistakes of a network whose error is ``level · n^-slope`` at 100, 200, 400 and 800 frames."""
    sizes = np.array([100.0, 200.0, 400.0, 800.0])
    chance = (level * sizes**-slope)[:, None, None]
    errors = np.random.default_rng(seed).random((4, 3, frames)) < chance
    return Measured(np.repeat(sizes[:, None], 3, axis=1), errors.astype(np.float64), np.ones(frames))


def curve(of: Measured) -> Curve:
    """Return the curve that a command would have measured."""
    points = [
        Point(float(n), 1 - float(error), 0.0, 0.0, 0.0) for n, error in zip(of.sizes, of.error, strict=True)
    ]
    return Curve("a probe", points, of, int(of.group_sizes.sum()))


def test_a_falling_error_is_extrapolated_with_an_interval() -> None:
    """The slope is found, and the smaller sizes predict the error with all frames within their interval."""
    whole = measured(4.0, 0.6)
    law = fit(whole)
    assert law.slope == pytest.approx(0.6, abs=0.06)
    low, high = fit(whole.first(3)).interval(800)
    assert low < whole.error[-1] < high
    assert high - low < 0.05
    outlook = look_ahead(curve(whole), law, 200)
    assert outlook.low is not None
    assert outlook.high is not None
    assert outlook.low < 1 - 4.0 * 1000**-0.6 < outlook.high
    assert "with 200 more expect" in outlook.sentence


def test_beyond_twice_the_frames_it_says_nothing() -> None:
    """A wish for many more frames is answered for as many again, and the sentence says so."""
    whole = measured(4.0, 0.6)
    outlook = look_ahead(curve(whole), fit(whole), 5000)
    assert outlook.more == 800
    assert "for 5000 more it says nothing" in outlook.sentence


def test_an_error_that_does_not_fall_is_no_promise() -> None:
    """A flat curve says that it shows no clear gain, without a number."""
    flat = measured(0.1, 0.0)
    outlook = look_ahead(curve(flat), fit(flat), 200)
    assert (outlook.low, outlook.high) == (None, None)
    assert "no clear gain" in outlook.sentence


def test_without_mistakes_there_is_no_curve() -> None:
    """A set on which even the fewest frames are enough says so."""
    perfect = measured(0.0, 0.0)
    outlook = look_ahead(curve(perfect), fit(perfect), 200)
    assert outlook.expected is None
    assert "0 mistakes on 2000 frames" in outlook.sentence


def test_too_few_frames_are_refused_with_the_number_that_is_missing() -> None:
    """A quarter has to be enough to learn from; eighths are measured only of many frames."""
    assert list(shares_for(800, 7, "data")) == ["eighth", "quarter", "half", "all"]
    assert list(shares_for(100, 7, "data")) == ["quarter", "half", "all"]
    with pytest.raises(UsageError, match=r"data: 60 training frames are too few .* label 24 more first"):
        shares_for(60, 7, "data")
