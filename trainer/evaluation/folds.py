"""Folds of the training frames, by welding run, for choices that held-out frames must not make."""

from __future__ import annotations

import random
from collections.abc import Sequence

import torch
from torch import Tensor

FOLDS = 5


def folds_of(groups: Sequence[str], labels: Tensor) -> Tensor | None:
    """Return the fold of each frame, int64[N]; frames of a group (a welding run) share a fold.

    None if no fold has a frame of a class that another fold has, too: then folds show nothing.
    """
    names = sorted(set(groups))
    random.Random(0).shuffle(names)
    numbers = {name: i % FOLDS for i, name in enumerate(names)}
    folds = torch.tensor([numbers[name] for name in groups])
    return folds if any(known_frames(folds, labels, fold).any() for fold in range(FOLDS)) else None


def known_frames(folds: Tensor, labels: Tensor, fold: int) -> Tensor:
    """Return the frames of a fold with a class that other folds have, too, bool[N].

    A class of a single run is not counted, because the other folds cannot know it.
    """
    return (folds == fold) & torch.isin(labels, labels[folds != fold])
