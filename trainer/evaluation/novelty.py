"""How far a frame's pooled features lie from those of the training frames: an artifact's ``novelty``.

The Mahalanobis distance from one Gaussian over all training frames, with a shrunk covariance (Ledoit and Wolf
2004). Lee et al. 2018 take one mean per class. One mean for all catches as much, and needs no labels
(docs/measurements/novelty.md). The ``MAX_AXES`` strongest directions have a variance of their own, all others
share one: that costs no detection, and keeps a file of 3.5 MB from growing by 1 MB.
"""

# no 'from __future__ import annotations' here: TorchScript reads the attributes' types as objects
import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from trainer.network.weldnet import WeldNet

MAX_AXES = 32  # directions with a variance of their own
# Share of known frames that may count as novel: each costs a person's look. 1% let four of ten X-SDD-foreign
# frames through where 2% let one of ten (docs/measurements/novelty.md).
FALSE_ALARM_SHARE = 0.02


class Novelty(nn.Module):
    """Distance in standard deviations; 0 for every frame while nothing is fitted."""

    mean: Tensor
    axes: Tensor
    gain: Tensor
    rest: Tensor

    def __init__(self, features: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(features))
        axes = min(MAX_AXES, features)
        self.register_buffer("axes", torch.zeros(features, axes))
        self.register_buffer("gain", torch.zeros(axes))  # 1 / variance, above that of all other directions
        self.register_buffer("rest", torch.zeros([]))  # 1 / variance of all other directions

    def forward(self, pooled: Tensor) -> float:
        """Of one frame's pooled features, ``float32[F]``."""
        deviation = pooled - self.mean
        along = torch.mv(self.axes.t(), deviation)
        squared = float(torch.dot(deviation, deviation)) * float(self.rest)
        squared += float(torch.dot(along * along, self.gain))
        return math.sqrt(max(squared, 0.0))


def fit(pooled: Tensor) -> Novelty:
    """Mean and shrunk covariance of training frames' pooled features, float32[N, F], N ≥ 2."""
    mean = pooled.double().mean(0)
    variances, directions = torch.linalg.eigh(_shrunk_covariance(pooled.double() - mean))
    variances = variances.clamp_min(1e-12)  # frames that are all the same
    count = min(MAX_AXES, len(variances))
    others = variances[:-count] if len(variances) > count else variances[:1]
    rest = 1 / others.mean()
    novelty = Novelty(len(mean))
    novelty.load_state_dict(
        {
            "mean": mean,
            "axes": directions[:, -count:],
            "gain": 1 / variances[-count:] - rest,
            "rest": rest,
        }
    )
    return novelty


def _shrunk_covariance(deviation: Tensor) -> Tensor:
    """Ledoit and Wolf 2004 (J. Multivariate Analysis 88): drawn to a multiple of the identity."""
    count, features = deviation.shape
    covariance = deviation.T @ deviation / count
    level = covariance.trace() / features
    target = level.clamp_min(1e-12) * torch.eye(features, dtype=deviation.dtype)
    spread = (covariance - target).square().sum()
    noise = (deviation.square().T @ deviation.square() / count - covariance.square()).sum() / count
    share = (noise / spread.clamp_min(1e-30)).clamp(0, 1)
    return (1 - share) * covariance + share * target


def pooled_features(student: WeldNet, frames: Tensor) -> Tensor:
    """float32[N, F] of prepared frames ``uint8[N, 1, H, W]``, one by one as the artifact takes them."""
    with torch.no_grad():
        return torch.cat([student.features(frame / 255).mean((2, 3)) for frame in torch.split(frames, 1)])


@dataclass(frozen=True)
class NoveltyThreshold:
    """Above ``value`` a frame is novel."""

    value: float
    metadata: dict[str, Any]  # number of frames, wanted and expected share of false alarms


def choose_threshold(held_out: Tensor) -> NoveltyThreshold:
    """The distance that at most ``FALSE_ALARM_SHARE`` of held-out frames exceed; ``float32[n]``, n ≥ 1.

    Of n frames that are exchangeable with those to come, the j-th largest is exceeded by the next one with
    probability j / (n + 1), whatever the distribution: that, and not the share seen on the very frames that
    chose it, is the rate to expect. Few frames cannot promise a small one: of 60, the largest gives 1.6%.
    """
    n = len(held_out)
    rank = max(1, round(FALSE_ALARM_SHARE * (n + 1)))
    return NoveltyThreshold(
        float(held_out.sort(descending=True).values[rank - 1]),
        {"n": n, "wanted_false_alarms": FALSE_ALARM_SHARE, "expected_false_alarms": round(rank / (n + 1), 4)},
    )
