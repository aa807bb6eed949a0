"""What a student is like on frames it knows: ranges for static int8, and what it finds novel."""

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
    """What is fitted to a trained student on frames."""

    ranges: Ranges
    novelty: Novelty
    novelty_threshold: NoveltyThreshold


def fit_ranges_and_novelty(student: WeldNet, train: Tensor, held_out: Tensor) -> RangesAndNovelty:
    """Look at training frames, and at held-out ones for the threshold alone.

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
    """At most so many of the frames, evenly from first to last: classes and runs stand in order."""
    if len(frames) <= maximum:
        return frames
    return frames[torch.linspace(0, len(frames) - 1, maximum).long()]
