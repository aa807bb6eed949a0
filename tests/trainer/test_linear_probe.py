"""The linear probe: a logistic regression on the features of a frozen network."""

from __future__ import annotations

from pathlib import Path

import torch
from training_samples import frame_set

from trainer.data.datasets import Frame
from trainer.data.frames import FrameSet
from trainer.evaluation.linear_probe import MAX_FRAMES, Probe, features, fit, linear_probe, sample
from trainer.network import lite0


def clouds(count: int = 30, classes: int = 3, noise: int = 40) -> tuple[torch.Tensor, torch.Tensor]:
    """Features of classes in turns: one column per class that shows it, and columns of noise and of zeros."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(count) % classes
    shown = 3 * torch.eye(classes)[labels] + torch.randn(count, classes, generator=generator)
    return torch.cat(
        [shown, torch.randn(count, noise, generator=generator), torch.zeros(count, 2)], 1
    ), labels


def right(probe: Probe, rows: torch.Tensor, labels: torch.Tensor) -> float:
    """Share of right answers."""
    return float((probe.probabilities(rows).argmax(dim=1) == labels).double().mean())


def test_two_classes_are_separated_on_frames_that_it_has_not_seen() -> None:
    """Two classes that differ in the place of a blot are told apart, and each row sums to one."""
    valid = frame_set(6, side=64)
    answers = linear_probe(frame_set(12, side=64), valid, classes=2)
    assert torch.equal(answers.argmax(dim=1), valid.labels)
    assert torch.allclose(answers.sum(dim=1), torch.ones(6))


def test_a_frame_and_its_mirror_image_have_the_same_features() -> None:
    """Features are those of a frame and its mirror image together."""
    images = frame_set(2, side=64).images
    found = features(images)
    assert found.shape == (2, lite0.FEATURES)
    assert torch.allclose(found, features(images.flip(3)), atol=1e-4)


def test_more_features_than_frames_and_fewer_give_the_same_regression() -> None:
    """The short cut for few frames changes nothing: noise that is known to be zero leaves the answers."""
    rows, labels = clouds(60, noise=20)
    few = fit(rows, labels, 3)
    many = fit(torch.cat([rows, torch.zeros(60, 100)], dim=1), labels, 3)
    assert few.penalty == many.penalty
    assert torch.allclose(
        few.probabilities(rows), many.probabilities(torch.cat([rows, torch.zeros(60, 100)], 1)), atol=0.01
    )


def test_the_penalty_is_chosen_by_groups() -> None:
    """A feature that only names its run is worth nothing for other runs, so the penalty becomes stronger."""
    runs = [f"run-{number // 4}" for number in range(40)]
    names = torch.eye(10)[torch.arange(40) // 4] * 4
    generator = torch.Generator().manual_seed(1)
    labels = (torch.arange(40) // 4) % 2  # each run has one class, which its name gives away
    rows = torch.cat([torch.randn(40, 5, generator=generator), names], dim=1)
    assert fit(rows, labels, 2, runs).penalty > fit(rows, labels, 2).penalty


def test_classes_without_frames_get_no_probability() -> None:
    """A class that no training frame has is improbable, with two other classes and with one."""
    rows, labels = clouds(20, classes=2)
    for known in (labels, torch.zeros_like(labels)):
        answers = fit(rows, 2 * known, 4).probabilities(rows)
        assert float(answers[:, [1, 3]].max()) < 1e-6
        assert torch.allclose(answers.sum(dim=1), torch.ones(20))
    assert right(fit(rows, 2 * labels, 4), rows, 2 * labels) == 1.0


def test_a_single_frame_of_each_class_is_enough() -> None:
    """Two frames show nothing about the penalty, and still give a model that knows both."""
    rows, labels = clouds(2, classes=2)
    probe = fit(rows, labels, 2, ["monday", "tuesday"])
    assert probe.penalty == 100
    assert right(probe, rows, labels) == 1.0


def test_more_classes_than_half_of_the_frames_are_fitted_without_a_word() -> None:
    """Class numbers are no measured values, however few frames there are, so scikit-learn does not warn."""
    rows, labels = torch.eye(20).repeat(2, 1)[:30], torch.arange(20).repeat(2)[:30]
    assert right(fit(rows, labels, 20, penalty=0.1), rows, labels) == 1.0


def test_of_many_frames_an_even_sample_is_learnt() -> None:
    """More frames than the limit are thinned out evenly, so every class keeps its share."""
    count = 2 * MAX_FRAMES
    labels = torch.arange(count) // 1000
    frames = [Frame(Path(str(row)), str(row), int(label)) for row, label in enumerate(labels)]
    some = sample(FrameSet(torch.zeros(count, 1, 1, 1, dtype=torch.uint8), labels, frames))
    assert len(some) == MAX_FRAMES
    assert all(abs(each - 500) <= 1 for each in some.labels.bincount().tolist())
    few = frame_set(2)
    assert sample(few) is few
