"""Promises about escapes hold in worlds whose truth is known, with independent and with correlated frames."""

from __future__ import annotations

import pytest
import torch
from promise_worlds import simulate

from trainer.evaluation.promises import ClassEscapes, Promise, drawn_frames

WORLDS = 1000


@pytest.mark.parametrize("length", [1, 5, 50])
@pytest.mark.parametrize("frames", [30, 100, 1000])
def test_a_promise_is_broken_in_no_more_worlds_than_it_says(frames: int, length: int) -> None:
    """Of 1,000 worlds at most 5% let more defects pass than promised, at a wish of 1% and of 10%.

    The simulation's own error is allowed for: so many broken promises are no evidence at 99.9% of more.
    """
    for escape in (0.01, 0.1):
        found = simulate(frames, length, escape=escape, worlds=WORLDS)
        assert found.is_sound(WORLDS, 0.95), found
        assert found.at_most >= escape - 1e-9


def test_higher_confidence_breaks_fewer_promises() -> None:
    """At 99% confidence at most 1% of the promises about 20 runs of 50 are broken."""
    assert simulate(1000, 50, escape=0.01, confidence=0.99).is_sound(WORLDS, 0.99)


def test_counting_alike_frames_as_independent_would_break_the_promise() -> None:
    """Counting each frame of runs of 50 breaks more than a third of the promises, so the run is the unit."""
    assert simulate(1000, 50, escape=0.01).broken_by_frames > WORLDS / 3


def test_a_thousand_independent_frames_keep_a_wish_of_one_percent() -> None:
    """The bound is not needlessly loose: 1,000 frames nearly always keep 1%, and 200 runs 10%."""
    assert simulate(1000, 1, escape=0.01).kept > 0.99
    assert simulate(1000, 5, escape=0.1).kept == 1


def test_one_frame_of_each_class_and_run_is_drawn() -> None:
    """Every run gives one frame of each class that it shows, and a frame without a run gives itself."""
    labels = torch.tensor([0, 0, 1, 1, 1, 0, 1])
    runs = ["a", "a", "a", "a", "b", None, None]
    drawn = drawn_frames(labels, runs).tolist()
    assert drawn[4:] == [True, True, True]
    assert (sum(drawn[:2]), sum(drawn[2:4])) == (1, 1)
    assert drawn_frames(labels, runs).tolist() == drawn, "the same frames give the same draw"


def test_the_words_name_the_worst_class_and_count_the_others() -> None:
    """One line has the promise about the worst class, what it lacks, and how many classes lack runs."""
    classes = {
        "hole": ClassEscapes(40, 0, 8, 0, 0.3123, 291),
        "dirt": ClassEscapes(20, 0, 4, 0, 0.5271, 295),
        "crack": ClassEscapes(900, 0, 300, 0, 0.01, 0),
    }
    promise = Promise(0.01, 0.95, classes, by_run=True)
    assert promise.words == (
        "escapes within 1.0% cannot be promised: nothing about class 'dirt' can be promised from 20 held-out "
        "frames of 4 runs; label 295 more runs of it and hold them out; 1 more class has too few runs"
    )
    assert promise.as_json()["at_most"] == 0.5271
    kept = Promise(0.01, 0.95, {"crack": classes["crack"]}, by_run=True)
    assert kept.words == (
        "at most 1.0% of the frames of each defect class PASS, with 95% confidence, from 900 held-out frames "
        "of 300 runs"
    )
