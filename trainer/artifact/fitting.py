"""Ranges for static int8 and novelty, fitted to a trained student on frames."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from trainer.data.resizing import prepare
from trainer.evaluation.novelty import Novelty, NoveltyThreshold, choose_threshold, fit, pooled_features
from trainer.int8.ranges import CALIBRATION_FRAMES, Ranges, calibrate
from trainer.network.weldnet import WeldNet

_NOVELTY_FRAMES = 2000  # at most, for the novelty's covariance of 512 features: some 40 s


@dataclass(frozen=True)
class RangesAndNovelty:
    """The ranges of a student's maps, its novelty, and the threshold above which a frame is novel."""

    ranges: Ranges
    novelty: Novelty
    novelty_threshold: NoveltyThreshold


def fit_ranges_and_novelty(student: WeldNet, train: Tensor, held_out: Tensor) -> RangesAndNovelty:
    """Fit ranges and novelty on training frames, and the novelty threshold on held-out frames.

    Args:
        student: in evaluation mode.
        train: uint8[N, 1, h, w] of any size, N ≥ 2.
        held_out: prepared frames, uint8[n, 1, H, W].
    """
    config = student.config
    some = _spread(train, _NOVELTY_FRAMES)
    known = torch.stack([prepare(frame, config.height, config.width) for frame in some])
    novelty = fit(pooled_features(student, known))
    distances = torch.tensor([novelty(pooled) for pooled in pooled_features(student, held_out)])
    ranges = calibrate(student, _spread(known, CALIBRATION_FRAMES))
    return RangesAndNovelty(ranges, novelty, choose_threshold(distances))


def _spread(frames: Tensor, maximum: int) -> Tensor:
    """At most this many frames, evenly from first to last, because they are sorted by class and run."""
    if len(frames) <= maximum:
        return frames
    return frames[torch.linspace(0, len(frames) - 1, maximum).long()]
