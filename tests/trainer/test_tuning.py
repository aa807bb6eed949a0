"""Held-out frames that tune are apart from those that the promise and the figures are about."""

from __future__ import annotations

from collections import Counter

import torch
from hypothesis import given
from hypothesis import strategies as st

from trainer.evaluation.calibration import MIN_FRAMES
from trainer.evaluation.tuning import tuning_frames

frames = st.lists(
    st.tuples(st.integers(0, 3), st.sampled_from([None, *"abcdefghij"])), min_size=1, max_size=80
)


@given(frames)
def test_a_run_is_on_one_side_and_each_class_keeps_half_of_its_runs(
    listed: list[tuple[int, str | None]],
) -> None:
    """Whatever the runs are, none is divided, and no class gives more than half of its runs."""
    labels, runs = torch.tensor([label for label, _ in listed]), [run for _, run in listed]
    tuning = tuning_frames(labels, runs).tolist()
    sides: dict[object, bool] = {}
    for number, (run, tunes) in enumerate(zip(runs, tuning, strict=True)):
        assert sides.setdefault(run or number, tunes) == tunes
    for label in set(labels.tolist()):
        own = {run or i: tuning[i] for i, (each, run) in enumerate(listed) if each == label}
        assert 2 * sum(own.values()) <= len(own)


def test_a_fifth_tunes_or_as_many_as_a_temperature_needs() -> None:
    """Of 1,000 frames 200 tune, of 240 the 100 that a temperature needs, of 100 only 20."""
    found = {n: int(tuning_frames(torch.arange(n) % 2).sum()) for n in (1000, 240, 100)}
    assert found == {1000: 200, 240: MIN_FRAMES, 100: 20}


def test_classes_of_few_runs_keep_them_for_the_promise() -> None:
    """Two common classes give a fifth of their runs, and a class of three runs gives none."""
    labels = torch.tensor([0] * 500 + [1] * 500 + [2] * 30)
    runs = [f"{label}-{i // 10}" for i, label in enumerate(labels.tolist())]
    given_up = Counter(labels[tuning_frames(labels, runs)].tolist())
    assert given_up[2] == 0
    assert abs(given_up[0] - given_up[1]) <= 10
    assert 206 <= given_up.total() < 216


def test_one_run_of_each_class_tunes_nothing() -> None:
    """Nothing can be spared then, nor of a single frame."""
    assert not tuning_frames(torch.tensor([0] * 300 + [1] * 300), ["a"] * 300 + ["b"] * 300).any()
    assert not tuning_frames(torch.tensor([0])).any()
