"""The row that any network has to beat: ridge regression on a thumbnail of the frame."""

from __future__ import annotations

import random

import torch
from torch import Tensor
from torch.nn import functional as F

from trainer.data.frames import FrameSet
from trainer.data.resizing import prepare

_HEIGHT, _WIDTH = 24, 40  # pixels
_PENALTIES = tuple(10.0**exponent for exponent in range(-1, 5))  # beside pixels of unit variance
_FOLDS = 5


def ridge(train: FrameSet, valid: FrameSet, classes: int) -> Tensor:
    """Answers ``[N, classes]`` of a linear model, as shares that sum to one.

    Its penalty is chosen by cross-validation over the training runs alone. The shares are a softmax of the
    regression's outputs: good for the top class, and no probabilities.
    """
    x, unseen = _thumbnails(train), _thumbnails(valid)
    mean, spread = x.mean(dim=0), x.std().clamp_min(1e-6)
    x, unseen = (x - mean) / spread, (unseen - mean) / spread
    y = F.one_hot(train.labels, classes).double()
    fold = _folds(train)
    right = [
        sum(
            int(
                (
                    _fit(x[fold != i], y[fold != i], penalty, x[fold == i]).argmax(1)
                    == train.labels[fold == i]
                ).sum()
            )
            for i in range(_FOLDS)
            if (fold == i).any() and (fold != i).any()
        )
        for penalty in _PENALTIES
    ]
    penalty = _PENALTIES[right.index(max(right))]
    return _fit(x, y, penalty, unseen).softmax(dim=1).float()


def _fit(x: Tensor, y: Tensor, penalty: float, unseen: Tensor) -> Tensor:
    """Outputs for ``unseen`` in the dual form where frames are fewer than pixels, else in the primal."""
    offset = y.mean(dim=0)
    if len(x) < x.shape[1]:
        weights: Tensor = torch.linalg.solve(x @ x.T + penalty * torch.eye(len(x)).double(), y - offset)
        return torch.addmm(offset, unseen, x.T @ weights)
    weights = torch.linalg.solve(x.T @ x + penalty * torch.eye(x.shape[1]).double(), x.T @ (y - offset))
    return torch.addmm(offset, unseen, weights)


def _thumbnails(frames: FrameSet) -> Tensor:
    return torch.stack([prepare(image, _HEIGHT, _WIDTH).flatten() for image in frames.images]).double() / 255


def _folds(frames: FrameSet) -> Tensor:
    """Fold of each frame, int64[N]; a run's frames share one."""
    runs = sorted({run or frame.name for run, frame in zip(frames.runs, frames.frames, strict=True)})
    random.Random(0).shuffle(runs)
    place = {run: i % _FOLDS for i, run in enumerate(runs)}
    return torch.tensor([place[run or f.name] for run, f in zip(frames.runs, frames.frames, strict=True)])
