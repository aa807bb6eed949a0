"""The baseline that networks should beat: ridge regression on a thumbnail of the frame."""

from __future__ import annotations

import logging

import torch
from torch import Tensor
from torch.nn import functional as F

from trainer.data.frames import FrameSet
from trainer.data.resizing import prepare
from trainer.evaluation.folds import FOLDS, folds_of, known_frames

log = logging.getLogger(__name__)

_HEIGHT, _WIDTH = 24, 40  # pixels
_PENALTIES = tuple(10.0**exponent for exponent in range(-1, 5))  # for pixels of unit variance


def ridge(train: FrameSet, valid: FrameSet, classes: int) -> Tensor:
    """Answers ``[N, classes]`` of a linear model, as shares that sum to one.

    Its penalty is chosen by cross-validation over the training runs only: most right answers, and of equal
    penalties the one with the least squared error. A class of a single run is not counted, because the other
    folds cannot know it. If no class has a second run, frames are the folds. The shares are a softmax of the
    regression's outputs. They give the top class, but are not probabilities.
    """
    pixels, unseen = _thumbnails(train), _thumbnails(valid)
    mean, spread = pixels.mean(dim=0), pixels.std().clamp_min(1e-6)
    pixels, unseen = (pixels - mean) / spread, (unseen - mean) / spread
    targets = F.one_hot(train.labels, classes).double()
    penalty = choose_penalty(pixels, targets, train)
    return _fit(pixels, targets, penalty, unseen).softmax(dim=1).float()


def cross_validated(train: FrameSet, classes: int) -> Tensor:
    """Return the linear model's answer to each training frame, int64[N], by what the other folds teach.

    -1 for a frame of a class that no other fold has. The penalty is chosen on the same folds.
    """
    pixels = _thumbnails(train)
    pixels = (pixels - pixels.mean(dim=0)) / pixels.std().clamp_min(1e-6)
    targets = F.one_hot(train.labels, classes).double()
    folds = _folds(train)
    answers = torch.full_like(train.labels, -1)
    if folds is None:
        return answers
    penalty = _best_penalty(pixels, targets, folds)
    for fold in range(FOLDS):
        known, outside = known_frames(folds, train.labels, fold), folds != fold
        if known.any():
            answers[known] = _fit(pixels[outside], targets[outside], penalty, pixels[known]).argmax(dim=1)
    return answers


def choose_penalty(pixels: Tensor, targets: Tensor, train: FrameSet) -> float:
    """Choose the penalty that answers the frames of other folds best.

    Args:
        pixels: ``float64[N, P]``.
        targets: one-hot, ``float64[N, C]``.
        train: the frames, with their runs.
    """
    if folds_of(train.groups, train.labels) is None:
        log.warning(
            "no class has frames of two training runs, so ridge's penalty is cross-validated on single frames"
        )
    folds = _folds(train)
    if folds is None:
        return _PENALTIES[len(_PENALTIES) // 2]  # single frames of each class show nothing
    return _best_penalty(pixels, targets, folds)


def _best_penalty(pixels: Tensor, targets: Tensor, folds: Tensor) -> float:
    return max(_PENALTIES, key=lambda penalty: _merit(pixels, targets, folds, penalty))


def _folds(train: FrameSet) -> Tensor | None:
    """Return the folds by run, or by frame if no class has two runs; None if those show nothing either."""
    folds = folds_of(train.groups, train.labels)
    if folds is not None:
        return folds
    return folds_of([frame.name for frame in train.frames], train.labels)


def _merit(pixels: Tensor, targets: Tensor, folds: Tensor, penalty: float) -> tuple[int, float]:
    """Right answers of models of the other folds, and minus their squared error, which decides ties."""
    right, error = 0, 0.0
    for fold in range(FOLDS):
        known, outside = known_frames(folds, targets.argmax(dim=1), fold), folds != fold
        if known.any():
            outputs = _fit(pixels[outside], targets[outside], penalty, pixels[known])
            right += int((outputs.argmax(1) == targets[known].argmax(1)).sum())
            error += float((outputs - targets[known]).square().sum())
    return right, -error


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
