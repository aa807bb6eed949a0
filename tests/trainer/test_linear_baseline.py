"""The linear baseline that networks are compared with."""

from __future__ import annotations

import torch
from training_samples import frame_set

from trainer.evaluation.linear_baseline import ridge


def test_it_separates_two_classes() -> None:
    """Two classes that differ in the place of a blot are separated, and each row sums to one."""
    valid = frame_set(30, side=64)
    answers = ridge(frame_set(40), valid, classes=2)
    assert (answers.argmax(1) == valid.labels).double().mean() == 1.0
    assert torch.allclose(answers.sum(1), torch.ones(30))


def test_held_out_frames_do_not_change_the_model() -> None:
    """A frame's answer does not depend on other held-out frames or on held-out labels."""
    train, valid = frame_set(40), frame_set(10, side=64)
    whole = ridge(train, valid, classes=2)
    valid.labels[:] = 0
    assert torch.equal(ridge(train, valid, classes=2), whole)
