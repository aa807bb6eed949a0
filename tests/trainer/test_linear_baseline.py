"""The linear model that networks are measured against."""

from __future__ import annotations

import torch
from training_samples import frame_set

from trainer.evaluation.linear_baseline import ridge


def test_it_tells_blots_apart() -> None:
    """Two classes that differ in where a blot lies are linear in a thumbnail; each row sums to one."""
    unseen = frame_set(30, side=64)
    answers = ridge(frame_set(40), unseen, classes=2)
    assert (answers.argmax(1) == unseen.labels).double().mean() == 1.0
    assert torch.allclose(answers.sum(1), torch.ones(30))


def test_held_out_frames_have_no_say() -> None:
    """A frame's answer does not depend on the other held-out frames or on any held-out label."""
    train, unseen = frame_set(40), frame_set(10, side=64)
    whole = ridge(train, unseen, classes=2)
    unseen.labels[:] = 0
    assert torch.equal(ridge(train, unseen, classes=2), whole)
