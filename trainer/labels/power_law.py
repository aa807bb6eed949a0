"""The learning curve's law: the error falls as a power of the training frames, ``error = a · n^-b``.

Fitted curves of this form describe networks over many decades of data (Hestness et al. 2017; Viering and Loog
2021 compare forms). Few sizes cannot show a floor besides, so there is none in the formula; a prediction is
therefore made only up to twice the frames that were measured.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

DRAWS = 2000  # of the bootstrap
LEVEL = 0.95  # of every interval
MAX_TIMES_MEASURED = 2.0  # how far a curve is drawn beyond the most frames that were measured

_HALF = 0.5  # of a mistake, added to each count, so that the logarithm of none is no infinity

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Measured:
    """Errors at several sizes, each with several seeds, on the same held-out frames.

    ``frames`` float64[S, R] are the numbers of training frames by size and seed, ``errors`` float64[S, R, G]
    the wrong answers in each group of held-out frames, and ``group_sizes`` float64[G] the frames of each
    group (a welding run, or one frame).
    """

    frames: Floats
    errors: Floats
    group_sizes: Floats

    @property
    def error(self) -> Floats:
        """Share of wrong answers by size, a mean over seeds, float64[S]."""
        shares: Floats = self.errors.sum(axis=2).mean(axis=1) / self.group_sizes.sum()
        return shares

    @property
    def sizes(self) -> Floats:
        """Mean number of training frames by size, float64[S]."""
        sizes: Floats = self.frames.mean(axis=1)
        return sizes

    def first(self, count: int) -> Measured:
        """Return the smallest sizes alone."""
        return Measured(self.frames[:count], self.errors[:count], self.group_sizes)


@dataclass(frozen=True)
class PowerLaw:
    """A fitted curve, ``log error = level - slope · log n``, with the fits to resampled seeds and groups."""

    level: float
    slope: float
    levels: Floats  # float64[DRAWS]
    slopes: Floats
    noise: Floats  # a measurement's deviation from each draw, in standard deviations of a Poisson count
    n_held_out: float  # frames on which errors are measured

    def error(self, n: float) -> float:
        """Return the expected share of wrong answers after learning from n frames."""
        return float(min(1.0, np.exp(self.level - self.slope * np.log(n))))

    def interval(self, n: float) -> tuple[float, float]:
        """Return the 95% interval of the error that would be measured after learning from n frames."""
        expected = np.exp(self.levels - self.slopes * np.log(n))
        drawn = expected * np.exp(self.noise / np.sqrt(expected * self.n_held_out + _HALF))
        low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        return float(min(low, 1)), float(min(high, 1))

    @property
    def slope_interval(self) -> tuple[float, float]:
        """The 95% interval of the slope: an error that does not clearly fall has one that reaches 0."""
        low, high = np.quantile(self.slopes, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        return float(low), float(high)


def fit(measured: Measured, seed: int = 0) -> PowerLaw:
    """Fit the law, and fit it again to resampled seeds and groups of held-out frames.

    Held-out groups are resampled together for all sizes, because the same frames are hard at each size.
    """
    generator = np.random.default_rng(seed)
    _, seeds, groups = measured.errors.shape
    level, slope = _line(
        np.log(measured.frames), _logs(measured.errors.sum(axis=2), measured.group_sizes.sum())
    )
    levels, slopes, noise = np.empty(DRAWS), np.empty(DRAWS), np.empty(DRAWS)
    for draw in range(DRAWS):
        chosen = generator.integers(groups, size=groups)
        rows = generator.integers(seeds, size=seeds)
        wrong = measured.errors[:, rows][:, :, chosen].sum(axis=2)
        logs = _logs(wrong, measured.group_sizes[chosen].sum())
        levels[draw], slopes[draw] = _line(np.log(measured.frames[:, rows]), logs)
        rest = logs[0] - (levels[draw] - slopes[draw] * np.log(measured.frames[:, rows]))
        noise[draw] = generator.choice((rest * np.sqrt(logs[1])).ravel())
    return PowerLaw(level, slope, levels, slopes, noise, float(measured.group_sizes.sum()))


def _logs(wrong: Floats, n: float) -> tuple[Floats, Floats]:
    """Return log errors, and their weights: one over the variance of a Poisson count's logarithm."""
    return np.log((wrong + _HALF) / (n + 2 * _HALF)), wrong + _HALF


def _line(log_frames: Floats, logs: tuple[Floats, Floats]) -> tuple[float, float]:
    """Return level and slope by weighted least squares."""
    values, weights = logs
    mean_x, mean_y = np.average(log_frames, weights=weights), np.average(values, weights=weights)
    spread = float((weights * (log_frames - mean_x) ** 2).sum())
    slope = -float((weights * (log_frames - mean_x) * (values - mean_y)).sum()) / max(spread, 1e-12)
    return float(mean_y + slope * mean_x), slope
