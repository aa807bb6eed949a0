"""What a student is like on frames it knows: ranges for static int8, and what it finds novel."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from trainer.data.resizing import prepare
from trainer.evaluation.novelty import Novelty, Threshold, choose, fit, pooled_features
from trainer.int8.ranges import CALIBRATION_FRAMES, Ranges, calibrate
from trainer.network.weldnet import WeldNet

_FRAMES = 2000  # training frames for the novelty's covariance of 512 features: some 40 s


@dataclass(frozen=True)
class Observation:
    """``novelty`` above ``threshold`` is novel."""

    ranges: Ranges
    novelty: Novelty
    threshold: Threshold


def observe(student: WeldNet, train: Tensor, held_out: Tensor) -> Observation:
    """Look at training frames, and at held-out ones for the threshold alone.

    Args:
        student: in evaluation mode.
        train: uint8[N, 1, h, w] of any size, N ≥ 2.
        held_out: prepared frames, uint8[n, 1, H, W].
    """
    config = student.config
    known = torch.stack([prepare(frame, config.height, config.width) for frame in _spread(train, _FRAMES)])
    fitted = fit(pooled_features(student, known))
    threshold = choose(torch.tensor([fitted(pooled) for pooled in pooled_features(student, held_out)]))
    return Observation(calibrate(student, _spread(known, CALIBRATION_FRAMES)), fitted, threshold)


def _spread(frames: Tensor, most: int) -> Tensor:
    """At most so many of the frames, evenly from first to last: classes and runs stand in order."""
    if len(frames) <= most:
        return frames
    return frames[torch.linspace(0, len(frames) - 1, most).long()]
