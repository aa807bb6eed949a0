"""Answers to labelled frames by models that have learnt from other frames only.

Frames of one welding run are near-copies, so a run is never divided between the frames that a model learns
from and those that it judges. A model that had learnt from the next frame of the same video would repeat its
label.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Sequence

import numpy as np
from numpy.typing import NDArray

log = logging.getLogger(__name__)

FOLDS = 5  # each model learns from four fifths of the frames, as a run with the default share held out does

Labels = NDArray[np.int64]
# (rows to learn from, rows to judge) → probabilities [rows to judge, C]
Model = Callable[[NDArray[np.int64], NDArray[np.int64]], NDArray[np.float32]]


def independent_groups(
    labels: Labels, runs: Sequence[Hashable | None], copies: Sequence[Hashable]
) -> NDArray[np.int64]:
    """Return the number of each frame's group; frames of a group stay together.

    Args:
        labels: int64[N].
        runs: the welding run of each frame; None if it is not known.
        copies: the same for frames that are copies of one another; each frame alone if there are none.

    A group is a run, or the copies of one frame without a run. If a class has one group, its frames stay
    together only with their copies: otherwise no model would know the class.
    """
    groups = [("copy", copy) if run is None else ("run", run) for run, copy in zip(runs, copies, strict=True)]
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label).tolist()
        if len({groups[row] for row in rows}) == 1:
            for row in rows:
                groups[row] = ("copy", copies[row])
    numbers: dict[Hashable, int] = {}
    return np.array([numbers.setdefault(group, len(numbers)) for group in groups], dtype=np.int64)


def stratified(labels: Labels, groups: NDArray[np.int64], seed: int, folds: int = FOLDS) -> NDArray[np.int64]:
    """Return the fold of each frame, int64[N]: whole groups, and about the same share of each class.

    Greedy: the groups that are hardest to place first, each into the fold that evens the classes' shares
    most. scikit-learn's StratifiedGroupKFold does the same, but warns of classes with fewer groups than
    folds, which are the normal case in a shop.
    """
    counts = np.zeros((groups.max() + 1, labels.max() + 1))
    np.add.at(counts, (groups, labels), 1)
    total = np.maximum(counts.sum(axis=0), 1)
    shuffled = np.random.default_rng(seed).permutation(len(counts))
    order = sorted(shuffled, key=lambda group: -float(counts[group].std()))
    placed, fold_of = np.zeros((folds, counts.shape[1])), np.zeros(len(counts), dtype=np.int64)
    for group in order:
        uneven = []
        for fold in range(folds):
            placed[fold] += counts[group]
            uneven.append((float((placed / total).std(axis=0).mean()), float(placed[fold].sum())))
            placed[fold] -= counts[group]
        fold_of[group] = min(range(folds), key=uneven.__getitem__)
        placed[fold_of[group]] += counts[group]
    return fold_of[groups]


def out_of_fold(labels: Labels, folds: NDArray[np.int64], classes: int, model: Model) -> NDArray[np.float64]:
    """Return probabilities ``float64[N, classes]``, each row by a model of the other folds.

    A row is NaN if no other fold has its class: the model could not name it.
    """
    answers = np.full((len(labels), classes), np.nan)
    for fold in np.unique(folds):
        outside, inside = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        known = np.isin(labels[inside], labels[outside])
        if len(np.unique(labels[outside])) > 1 and known.any():
            answers[inside[known]] = model(outside, inside[known])
    return answers


def thinned(labels: Labels, groups: NDArray[np.int64], share: float, seed: int) -> NDArray[np.int64]:
    """Return the rows of about this share of the frames: whole groups, and some frames of every class."""
    if share >= 1:
        return np.arange(len(labels))
    numbers = np.unique(groups, return_inverse=True)[1]
    kept = stratified(labels, numbers, seed, folds=round(1 / share)) == 0
    generator = np.random.default_rng(seed)
    for label in np.unique(labels):
        if not kept[labels == label].any():  # it has too few groups to be in each part
            kept |= numbers == generator.choice(numbers[labels == label])
    return np.flatnonzero(kept)
