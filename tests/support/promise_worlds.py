"""Made-up worlds in which the true share of escapes is known: for a test, and for ``benchmarks/promises.py``.

In each world a defect class has so many held-out frames in welding runs of one length. The probability of an
accept class is uniform from 0 to 1, so with the PASS threshold t a share of 1 - t escapes in truth. Frames of
a run are alike: the normal scores of two of them have a correlation of ``ALIKE``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from trainer.evaluation.bounds import exact_lower
from trainer.evaluation.promises import drawn_frames, lowest_threshold
from trainer.evaluation.thresholds import CANDIDATES

ALIKE = 0.9  # correlation of two frames of a run
GOOD_AHEAD = 3.0  # standard deviations of normal scores: 91% of good and 5% of defective frames reach 0.95
THRESHOLDS = np.array(CANDIDATES)


@dataclass(frozen=True)
class Outcome:
    """What became of the promises in all worlds; shares from 0 to 1."""

    runs: int
    kept: float  # of the worlds: the wish was promised
    at_most: float  # promised share, mean
    broken: int  # worlds in which more escape than was promised
    review: float  # of good frames, mean
    broken_by_frames: int  # the same if every frame counted as independent

    def is_sound(self, worlds: int, confidence: float) -> bool:
        """Whether so many broken promises are no evidence, at 99.9%, that more are broken than may be."""
        return exact_lower(self.broken, worlds, 0.999) <= 1 - confidence


def simulate(
    frames: int, length: int, *, escape: float, confidence: float = 0.95, worlds: int = 1000
) -> Outcome:
    """Choose thresholds in so many worlds, and compare each promise with the truth."""
    rng = np.random.default_rng([frames, length])
    runs = max(1, frames // length)
    each = frames // runs
    scores = scores_of(rng, worlds, runs, each).reshape(worlds, -1)
    names = [f"{number // each}" for number in range(runs * each)]
    drawn = drawn_frames(torch.zeros(len(names), dtype=torch.long), names).numpy()
    places, promised = _choose(scores[:, drawn], escape, confidence)
    accept = THRESHOLDS[places]
    by_frames = _choose(scores, escape, confidence)
    return Outcome(
        runs,
        kept=float((promised <= escape).mean()),
        at_most=float(promised.mean()),
        broken=_broken(accept, promised),
        review=float(ndtr(ndtri(accept) - GOOD_AHEAD).mean()),
        broken_by_frames=_broken(THRESHOLDS[by_frames[0]], by_frames[1]),
    )


def scores_of(rng: np.random.Generator, worlds: int, runs: int, length: int) -> NDArray[np.float64]:
    """The accept class's probability of each frame, float64[worlds, runs, length]."""
    shared, own = rng.normal(size=(worlds, runs, 1)), rng.normal(size=(worlds, runs, length))
    return np.asarray(ndtr(ALIKE**0.5 * shared + (1 - ALIKE) ** 0.5 * own))


def _choose(
    scores: NDArray[np.float64], escape: float, confidence: float
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The place of each world's threshold, and the promised share."""
    passed = np.stack([(scores >= threshold).sum(axis=1) for threshold in THRESHOLDS], axis=1)
    n = [scores.shape[1]]
    chosen = [lowest_threshold(counts[None], n, escape=escape, confidence=confidence) for counts in passed]
    return np.array([place for place, _ in chosen]), np.array([shares[0] for _, shares in chosen])


def _broken(accept: NDArray[np.float64], promised: NDArray[np.float64]) -> int:
    return int((1 - accept > promised + 1e-9).sum())
