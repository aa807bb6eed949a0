"""The baseline that networks should beat: ridge regression on a thumbnail of the frame."""

from __future__ import annotations

import random

import torch
from torch import Tensor
from torch.nn import functional as F

from trainer.data.frames import FrameSet
from trainer.data.resizing import prepare

_HEIGHT, _WIDTH = 24, 40  # pixels
_PENALTIES = tuple(10.0**exponent for exponent in range(-1, 5))  # for pixels of unit variance
_FOLDS = 5


def ridge(train: FrameSet, valid: FrameSet, classes: int) -> Tensor:
    """Answers ``[N, classes]`` of a linear model, as shares that sum to one.

    Its penalty is chosen by cross-validation over the training runs only. The shares are a softmax of the
    regression's outputs. They give the top class, but are not probabilities.
    """
    pixels, unseen = _thumbnails(train), _thumbnails(valid)
    mean, spread = pixels.mean(dim=0), pixels.std().clamp_min(1e-6)
    pixels, unseen = (pixels - mean) / spread, (unseen - mean) / spread
    targets = F.one_hot(train.labels, classes).double()
    folds = _folds(train)
    right = [_right_answers(pixels, targets, folds, penalty) for penalty in _PENALTIES]
    return _fit(pixels, targets, _PENALTIES[right.index(max(right))], unseen).softmax(dim=1).float()


def _right_answers(pixels: Tensor, targets: Tensor, folds: Tensor, penalty: float) -> int:
    """Count the frames that models of the other folds answer correctly."""
    right = 0
    for fold in range(_FOLDS):
        inside = folds == fold
        if inside.any() and not inside.all():
            answers = _fit(pixels[~inside], targets[~inside], penalty, pixels[inside]).argmax(1)
            right += int((answers == targets[inside].argmax(1)).sum())
    return right


def _fit(pixels: Tensor, targets: Tensor, penalty: float, unseen: Tensor) -> Tensor:
    """Fit, and return outputs for ``unseen``; in the dual form if there are fewer frames than pixels."""
    offset = targets.mean(dim=0)
    if len(pixels) < pixels.shape[1]:
        gram = pixels @ pixels.T + penalty * torch.eye(len(pixels)).double()
        weights: Tensor = pixels.T @ torch.linalg.solve(gram, targets - offset)
    else:
        gram = pixels.T @ pixels + penalty * torch.eye(pixels.shape[1]).double()
        weights = torch.linalg.solve(gram, pixels.T @ (targets - offset))
    return torch.addmm(offset, unseen, weights)


def _thumbnails(frames: FrameSet) -> Tensor:
    return torch.stack([prepare(image, _HEIGHT, _WIDTH).flatten() for image in frames.images]).double() / 255


def _folds(frames: FrameSet) -> Tensor:
    """The fold of each frame, int64[N]; frames of a run share a fold."""
    runs = sorted({run or frame.name for run, frame in zip(frames.runs, frames.frames, strict=True)})
    random.Random(0).shuffle(runs)
    folds = {run: i % _FOLDS for i, run in enumerate(runs)}
    named = zip(frames.runs, frames.frames, strict=True)
    return torch.tensor([folds[run or frame.name] for run, frame in named])
