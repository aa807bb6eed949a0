"""The linear baseline that networks are compared with."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from training_samples import frame_set

from trainer.data.frames import FrameSet
from trainer.evaluation.linear_baseline import choose_penalty, ridge


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


def noisy(count: int = 60) -> tuple[torch.Tensor, torch.Tensor]:
    """One pixel that separates two classes by 5 to 15 each way, 20 of noise, and the one-hot targets."""
    generator = torch.Generator().manual_seed(0)
    targets = torch.eye(2).double()[torch.arange(count) % 2]
    distance = 5 + 10 * torch.rand(count, 1, generator=generator, dtype=torch.float64)
    noise = torch.randn(count, 20, generator=generator, dtype=torch.float64)
    return torch.cat([(2 * targets[:, :1] - 1) * distance, noise], dim=1), targets


def with_runs(frames: FrameSet, names: list[str]) -> FrameSet:
    """The same frames, each with its run."""
    listed = [replace(frame, run=run) for frame, run in zip(frames.frames, names, strict=True)]
    return replace(frames, frames=listed)


def test_of_equal_penalties_the_one_with_the_least_error_is_taken() -> None:
    """Each penalty answers all frames right here, and the weakest fits the noise most."""
    assert choose_penalty(*noisy(), frame_set(60)) == 100


def test_training_frames_of_one_run_do_not_weaken_the_baseline(caplog: pytest.LogCaptureFixture) -> None:
    """If all frames are of one run, the penalty is that of single frames, and a warning says so."""
    alone = frame_set(60)
    expected = choose_penalty(*noisy(), alone)
    assert not caplog.text
    assert choose_penalty(*noisy(), with_runs(alone, ["monday"] * 60)) == expected
    assert choose_penalty(*noisy(), with_runs(alone, ["bad", "good"] * 30)) == expected
    assert "no class has frames of two training runs" in caplog.text


def test_a_single_frame_of_each_class_takes_a_penalty_in_the_middle() -> None:
    """Two frames show nothing about the penalty, and the weakest is not taken for that."""
    pixels, targets = noisy(2)
    assert choose_penalty(pixels, targets, frame_set(2)) == 100
