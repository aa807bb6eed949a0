"""Splits into training and held-out frames."""

from __future__ import annotations

import logging
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from trainer_samples import CLASSES

from trainer.data import splits
from trainer.data.datasets import Frame
from trainer.errors import DataError


def frame(name: str, label: int, run: str | None, part: str | None = None) -> Frame:
    """Make a frame without a file, because splitting opens none."""
    return Frame(Path(name), name, label, run, part)


labelled_runs = st.lists(
    st.tuples(st.integers(0, 3), st.one_of(st.none(), st.integers(0, 9))), min_size=1, max_size=60
)


@given(labelled_runs, st.floats(0.05, 0.5), st.integers(0, 5))
def test_no_run_is_divided_and_no_class_leaves_train(
    rows: list[tuple[int, int | None]], share: float, seed: int
) -> None:
    """For any runs, each run is in one part, every class stays in train, and no frame is lost."""
    pool = [frame(f"{i}.png", label, run and f"run{run}") for i, (label, run) in enumerate(rows)]

    split = splits.hold_out(pool, share=share, seed=seed)

    assert [f.name for f in split] == [f.name for f in pool]
    parts = {run: {f.part for f in split if f.run == run} for run in {f.run for f in split} - {None}}
    assert all(len(found) == 1 for found in parts.values())
    assert {f.label for f in split if f.part == "train"} == {f.label for f in pool}
    assert split == splits.hold_out(list(reversed(pool)), share=share, seed=seed)[::-1]


def test_runs_that_were_learnt_before_are_not_held_out() -> None:
    """If a student has learnt a frame of a run, the run stays in train, and others are held out instead."""
    pool = [frame(f"{c}-{r}-{i}", c, f"{c}-{r}") for c in range(3) for r in range(10) for i in range(5)]
    learnt = {f"{c}-{r}-2" for c in range(3) for r in range(7)}
    split = splits.hold_out(pool, share=0.2, seed=0, learnt=learnt)
    held = {f.run for f in split if f.part == "valid"}
    assert Counter(f.label for f in split if f.part == "valid") == {0: 10, 1: 10, 2: 10}
    assert not held & {f"{c}-{r}" for c in range(3) for r in range(7)}


def test_split_by_run_is_stratified() -> None:
    """With enough runs, about the wanted share of each class is held out."""
    pool = [frame(f"{c}-{r}-{i}", c, f"{c}-{r}") for c in range(3) for r in range(10) for i in range(5)]
    held = Counter(f.label for f in splits.hold_out(pool, share=0.2, seed=0) if f.part == "valid")
    assert held == {0: 10, 1: 10, 2: 10}


def test_without_runs_the_split_is_random_stratified_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    """Frames without a run are split one by one, a fifth of each class, with a warning."""
    pool = [frame(f"{c}-{i}", c, None) for c in range(2) for i in range(20 + 10 * c)]
    with caplog.at_level(logging.WARNING):
        split = splits.hold_out(pool, share=0.2, seed=3)
    assert Counter(f.label for f in split if f.part == "valid") == {0: 4, 1: 6}
    assert "50 of 50 frames belong to no run" in caplog.text
    assert split != splits.hold_out(pool, share=0.2, seed=4)


def test_a_given_valid_part_is_kept(caplog: pytest.LogCaptureFixture) -> None:
    """A part valid in the data is kept; a run in both parts is refused unless it is allowed by name."""
    pool = [frame("a", 0, "r1", "train"), frame("b", 0, "r1", "valid"), frame("c", 1, "r2", "train")]
    with pytest.raises(DataError, match=r"share 1 runs.*--set 'data.shared_runs=\['r1'\]'.*: r1"):
        splits.hold_out(pool, share=0.5, seed=0, shared_runs=["r2"])
    with caplog.at_level(logging.WARNING):
        assert splits.hold_out(pool, share=0.5, seed=0, shared_runs=["r1"]) == pool
    assert "share runs, which flatters: r1" in caplog.text
    assert splits.hold_out(pool[1:], share=0.5, seed=0) == pool[1:]


def test_fingerprint_depends_on_frames_labels_and_parts_alone() -> None:
    """The fingerprint ignores order and runs, and changes with frames, parts, labels and class names."""
    one, two = frame("a", 0, "r", "train"), frame("b", 1, "r", "valid")
    base = splits.fingerprint([one, two], CLASSES)
    assert base == splits.fingerprint([two, one], CLASSES)
    others = [
        splits.fingerprint([one, frame("b", 1, "r", "train")], CLASSES),
        splits.fingerprint([one, frame("b", 0, "r", "valid")], CLASSES),
        splits.fingerprint([one, two], ("bad", "fine")),
        splits.fingerprint([one], CLASSES),
    ]
    assert len({base, *others}) == 5
