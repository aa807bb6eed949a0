"""Synthetic textures: repeatable, balanced, and with more to learn than brightness."""

from collections import Counter

import numpy as np
import pytest
from numpy.typing import NDArray

from trainer.synthetic.frames import SyntheticFrame
from trainer.synthetic.textures import FRAMES_PER_CLASS, HEIGHT, WIDTH, class_names, frames


@pytest.fixture(scope="module")
def drawn() -> list[SyntheticFrame]:
    """All frames of twelve classes."""
    return list(frames(12 * FRAMES_PER_CLASS, seed=3))


def spectra(drawn: list[SyntheticFrame]) -> NDArray[np.float64]:
    """Logarithms of the power in 8 × 8 fields of the frequency plane, without brightness: [n, 63]."""
    power = [np.abs(np.fft.fft2(f.pixels / 255.0)[:48, :48]) ** 2 for f in drawn]
    fields = np.log(np.array(power).reshape(-1, 8, 6, 8, 6).sum((2, 4)) + 1e-6).reshape(len(drawn), -1)
    return fields[:, 1:]


def discriminant(features: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    """Top-1 accuracy of Fisher's linear discriminant on every second frame, fitted to the other frames."""
    features = (features - features.mean(0)) / features.std(0)
    train, valid, train_labels = features[::2], features[1::2], labels[::2]
    means = np.array([train[train_labels == label].mean(0) for label in np.unique(labels)])
    within = train - means[train_labels]
    weights = np.linalg.inv(within.T @ within / len(within) + 0.1 * np.eye(features.shape[1]))
    deviation = valid[:, None] - means
    nearest = np.einsum("nki,ij,nkj->nk", deviation, weights, deviation).argmin(1)
    return float((nearest == labels[1::2]).mean())


def test_the_same_arguments_give_the_same_frames() -> None:
    """The same seed and count give the same pixels, and another seed gives other textures."""
    one, again, other = (next(frames(100, seed)).pixels for seed in (1, 1, 2))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)


@pytest.mark.parametrize("count", [1, 7, 149, 151])
def test_all_frames_are_drawn_and_classes_differ_by_one(count: int) -> None:
    """Any count gives that many frames, in at least two balanced classes, with unique names."""
    sampled = list(frames(count, seed=0))
    assert len({frame.name for frame in sampled}) == len(sampled) == count
    sizes = Counter(frame.label for frame in sampled)
    assert max(sizes.values()) - min(sizes.values()) <= 1
    assert max(sizes) < len(class_names(count)) == max(2, count // FRAMES_PER_CLASS)
    assert len({(frame.run, frame.label) for frame in sampled}) == len({frame.run for frame in sampled})


def test_frames_are_grey_and_not_blank(drawn: list[SyntheticFrame]) -> None:
    """Every frame has the stated size, and shows more than noise."""
    assert all(frame.pixels.shape == (HEIGHT, WIDTH) and frame.pixels.dtype == np.uint8 for frame in drawn)
    assert min(frame.pixels.std() for frame in drawn) > 1


def test_classes_differ_in_more_than_brightness(drawn: list[SyntheticFrame]) -> None:
    """Frequencies identify the class of held-out frames far better than mean and spread of brightness."""
    labels = np.array([frame.label for frame in drawn])
    light = np.array([[frame.pixels.mean(), frame.pixels.std()] for frame in drawn])
    by_frequency, by_light = discriminant(spectra(drawn), labels), discriminant(light, labels)
    assert by_frequency > 0.75
    assert by_light < by_frequency - 0.2


def test_shuffled_labels_give_chance_accuracy(drawn: list[SyntheticFrame]) -> None:
    """With shuffled labels, frequencies identify the class no better than chance."""
    labels = np.random.default_rng(0).permutation([frame.label for frame in drawn])
    assert discriminant(spectra(drawn), labels) < 2 / 12
