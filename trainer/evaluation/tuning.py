"""The held-out frames that tune an artifact, apart from those that its promise and its figures are about.

The temperature and the FAIL threshold are fitted on the *tuning frames*. The promise about escapes and every
figure that depends on them are of the other held-out frames, because a figure on frames that fitted it looks
too good. Labels and runs decide which frames tune, never an answer.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Sequence

import torch
from torch import Tensor

from trainer.evaluation.calibration import MIN_FRAMES
from trainer.evaluation.metrics import independent_groups

SHARE = 0.2  # of the held-out frames: a temperature is one number, and the promise needs all others
MAX_SHARE = 0.5  # of a class's runs: the promise and the figures keep the rest


def tuning_frames(labels: Tensor, runs: Sequence[str | None] = ()) -> Tensor:
    """Return which held-out frames tune, bool[N]: a fifth, or as many as a temperature needs.

    A run is on one side as a whole. Each class gives about the same share of its runs, common classes first:
    a class of few runs keeps them all for its promise. No frame tunes if each class has one run.

    Args:
        labels: int64[N].
        runs: the run of each frame; a frame without a run is a run of its own.
    """
    groups, n = independent_groups(len(labels), runs), len(labels)
    classes_of: dict[int, set[int]] = defaultdict(set)
    for group, label in zip(groups, labels.tolist(), strict=True):
        classes_of[group].add(label)
    runs_of = Counter(label for classes in classes_of.values() for label in classes)
    place: dict[int, float] = {}  # of a run among those of its classes, from 0 to 1
    drawn: Counter[int] = Counter()
    for group in random.Random(0).sample(sorted(classes_of), len(classes_of)):
        drawn.update(classes_of[group])
        place[group] = max(drawn[label] / runs_of[label] for label in classes_of[group])
    wanted = max(SHARE * n, MIN_FRAMES if MAX_SHARE * n >= MIN_FRAMES else 0)
    frames, tuning, count = Counter(groups), set[int](), 0
    for group in sorted(place, key=place.__getitem__):
        if count >= wanted or place[group] > MAX_SHARE:
            break
        tuning.add(group)
        count += frames[group]
    return torch.tensor([group in tuning for group in groups], dtype=torch.bool)
