"""An artifact's ``novelty``: the distance of a frame's pooled features from those of the training frames.

It is the Mahalanobis distance from one Gaussian over all training frames, with a shrunk covariance (Ledoit
and Wolf 2004). Lee et al. 2018 take one mean per class. One mean for all catches as much, and needs no labels
(docs/measurements/novelty.md). The ``MAX_AXES`` strongest directions have a variance of their own, and all
others share one. That detects as much, and saves 1 MB in a file of 3.5 MB.
"""

# No 'from __future__ import annotations' here: TorchScript reads the attributes' types as objects
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from trainer.evaluation.metrics import independent_groups
from trainer.network.weldnet import WeldNet

MAX_AXES = 32  # directions with a variance of their own
# Share of known frames that may count as novel; a person has to look at each. At 1%, four of ten frames
# foreign to X-SDD passed; at 2%, one of ten (docs/measurements/novelty.md).
FALSE_ALARM_SHARE = 0.02


class Novelty(nn.Module):
    """The distance in standard deviations; 0 for every frame until it is fitted."""

    mean: Tensor
    axes: Tensor
    gain: Tensor
    rest: Tensor

    def __init__(self, features: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(features))
        axes = min(MAX_AXES, features)
        self.register_buffer("axes", torch.zeros(features, axes))
        self.register_buffer("gain", torch.zeros(axes))  # 1 / variance of each axis, minus ``rest``
        self.register_buffer("rest", torch.zeros([]))  # 1 / variance of all other directions

    def forward(self, pooled: Tensor) -> float:
        """The distance of one frame's pooled features, ``float32[F]``."""
        deviation = pooled - self.mean
        along = torch.mv(self.axes.t(), deviation)
        squared = float(torch.dot(deviation, deviation)) * float(self.rest)
        squared += float(torch.dot(along * along, self.gain))
        return math.sqrt(max(squared, 0.0))


def fit(pooled: Tensor) -> Novelty:
    """Fit mean and shrunk covariance to training frames' pooled features, float32[N, F], N ≥ 2."""
    mean = pooled.double().mean(0)
    variances, directions = torch.linalg.eigh(_shrunk_covariance(pooled.double() - mean))
    variances = variances.clamp_min(1e-12)  # 0 if all frames are the same
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
    """Covariance shrunk to a multiple of the identity (Ledoit and Wolf 2004, J. Multivariate Analysis 88)."""
    count, features = deviation.shape
    covariance = deviation.T @ deviation / count
    level = covariance.trace() / features
    target = level.clamp_min(1e-12) * torch.eye(features, dtype=deviation.dtype)
    spread = (covariance - target).square().sum()
    noise = (deviation.square().T @ deviation.square() / count - covariance.square()).sum() / count
    share = (noise / spread.clamp_min(1e-30)).clamp(0, 1)
    return (1 - share) * covariance + share * target


def pooled_features(student: WeldNet, frames: Tensor) -> Tensor:
    """Features float32[N, F] of prepared frames ``uint8[N, 1, H, W]``, one by one as in the artifact."""
    with torch.no_grad():
        return torch.cat([student.features(frame / 255).mean((2, 3)) for frame in torch.split(frames, 1)])


@dataclass(frozen=True)
class NoveltyThreshold:
    """The distance above which a frame is novel."""

    value: float
    metadata: dict[str, Any]  # for the artifact: number of frames, wanted and expected share of false alarms


def choose_threshold(held_out: Tensor, runs: Sequence[str | None] = ()) -> NoveltyThreshold:
    """Choose the distance that at most ``FALSE_ALARM_SHARE`` of known frames exceed.

    If held-out and future frames are exchangeable, the next frame exceeds the j-th largest of n distances
    with probability j / (n + 1), for any distribution. This is the rate to expect. The share on the held-out
    frames themselves is too low. Few frames cannot promise a small rate: with 60, the largest distance gives
    1.6%. Where runs are known, the next frame is of another run: the rate is that of each run at the
    threshold of all others. It is not known if there is one run.

    Args:
        held_out: distances of held-out frames, ``float32[n]``, n ≥ 1.
        runs: the run of each frame.
    """
    n = len(held_out)
    value, expected = _threshold(held_out)
    rate: float | None = expected
    if any(run is not None for run in runs):
        rate = _rate_of_other_runs(held_out, torch.tensor(independent_groups(n, runs)))
    return NoveltyThreshold(
        value,
        {
            "n": n,
            "wanted_false_alarms": FALSE_ALARM_SHARE,
            "expected_false_alarms": None if rate is None else round(rate, 4),
        },
    )


def _threshold(distances: Tensor) -> tuple[float, float]:
    """The threshold, and the rate to expect of exchangeable frames."""
    n = len(distances)
    rank = max(1, round(FALSE_ALARM_SHARE * (n + 1)))
    return float(distances.sort(descending=True).values[rank - 1]), rank / (n + 1)


def _rate_of_other_runs(distances: Tensor, groups: Tensor) -> float | None:
    """The share of frames above the threshold of all frames but their run's; None if there is one run."""
    numbers = sorted(set(groups.tolist()))
    if len(numbers) == 1:
        return None
    above = [(distances[groups == g] > _threshold(distances[groups != g])[0]).sum() for g in numbers]
    return float(sum(above)) / len(distances)
