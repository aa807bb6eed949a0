"""A promise about escapes: at most this share of a defect class's frames PASS, with a stated confidence.

The rule is Learn then Test (Angelopoulos et al. 2021) with the exact binomial bound.

- *The unit is the run*, because frames of a run are alike. Of each run one frame of the class is drawn,
  before any answer is seen. The drawn frames are independent, however alike frames of a run are, so the
  binomial bound holds. The promise is about a frame of a new run. A frame without a run is a run of its own.
  Bounds for the mean of all frames of each run are looser with few runs (docs/measurements/promises.md).
- *Many thresholds cost nothing.* They are tested from strict to lax, and the first that fails ends the test
  (fixed sequence). Only the first threshold that breaks the promise can make it wrong, by passing its own
  test, and the probability of that is at most 1 - confidence. So no Bonferroni correction is needed.
- *Several classes cost nothing.* A threshold is kept only if every class passes its test.
- *A wish that n runs cannot show* is replaced by :func:`trainer.evaluation.bounds.least_share`. It depends on
  n alone, so it is as if it had been wished for.
- *If even the strictest threshold fails*, it is used, and each class is promised its bound there, or its wish
  if that is more. Where the strictest threshold lets more pass than wished, only a bound that is too low
  breaks the promise; elsewhere, only the sequence can. Either has the same small probability.

The frames must not have fitted the temperature: see :mod:`trainer.evaluation.tuning`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainer.evaluation.bounds import exact_upper, least_share, most_cases
from trainer.evaluation.metrics import independent_groups

NOTHING = 0.5  # a share from which a promise says nothing: half of the defects may pass


@dataclass(frozen=True)
class ClassEscapes:
    """Escapes of one defect class on the held-out frames that tuned nothing, and the promise about it."""

    frames: int
    passed: int  # of these frames
    runs: int  # a frame without a run is a run of its own
    drawn_passed: int  # of one frame drawn from each run: these are counted
    at_most: float  # the promised share of the class's frames that PASS
    label_more: int  # further runs without an escape that the wish needs; 0 if it is promised


@dataclass(frozen=True)
class Promise:
    """The promise about each defect class."""

    escape: float  # wished share
    confidence: float
    classes: dict[str, ClassEscapes]
    by_run: bool  # False if no run is known: then each frame counts

    @property
    def kept(self) -> bool:
        """Whether the wish is promised for every defect class."""
        return all(each.label_more == 0 for each in self.classes.values())

    @property
    def words(self) -> str:
        """One line for people: what is promised, from how much, and what would change it."""
        sure = f"with {self.confidence:.0%} confidence"
        if self.kept:
            found = self._found(*(sum(counts) for counts in zip(*self._counts(), strict=True)))
            of = "of the frames of each defect class PASS"
            return f"at most {self.escape:.1%} {of}, {sure}, from {found}"
        name, least = worst(self.classes)
        found, unit = self._found(least.frames, least.runs), "runs" if self.by_run else "frames"
        bound = f"{sure} at most {least.at_most:.1%} of the frames of class '{name}' PASS, from {found}"
        if least.at_most > NOTHING:
            bound = f"nothing about class '{name}' can be promised from {found}"
        others = sum(each.label_more > 0 for each in self.classes.values()) - 1
        return (
            f"escapes within {self.escape:.1%} cannot be promised: {bound}; label {least.label_more} more "
            f"{unit} of it and hold them out"
            + (f"; {others} more class{'es have' if others > 1 else ' has'} too few {unit}" if others else "")
        )

    def _counts(self) -> list[tuple[int, int]]:
        return [(each.frames, each.runs) for each in self.classes.values()]

    def _found(self, frames: int, runs: int) -> str:
        return f"{frames} held-out frames" + (f" of {runs} runs" if self.by_run else "")

    def as_json(self) -> dict[str, Any]:
        """Return plain values for the metadata and ``results.json``; the classes are ``escapes`` there."""
        each = self.classes.values()
        return {
            "escape": self.escape,
            "confidence": self.confidence,
            "kept": self.kept,
            "at_most": max((c.at_most for c in each), default=0.0),
            "frames": sum(c.frames for c in each),
            "runs": sum(c.runs for c in each) if self.by_run else None,
            "words": self.words,
        }

    def escapes(self) -> dict[str, dict[str, Any]]:
        """Return plain values of each defect class."""
        return {name: asdict(each) for name, each in self.classes.items()}


def worst(classes: dict[str, ClassEscapes]) -> tuple[str, ClassEscapes]:
    """The defect class about which the least is promised, and its escapes."""
    return max(classes.items(), key=lambda item: (item[1].at_most, item[1].label_more))


def drawn_frames(labels: Tensor, runs: Sequence[str | None] = ()) -> Tensor:
    """Return one frame of each class from each run, drawn at random without a look at any answer, bool[N]."""
    keys = np.array(independent_groups(len(labels), runs)) * (int(labels.max()) + 1) + labels.numpy()
    order = np.random.default_rng(0).permutation(len(labels))
    _, first = np.unique(keys[order], return_index=True)
    drawn = torch.zeros(len(labels), dtype=torch.bool)
    drawn[order[first]] = True
    return drawn


def lowest_threshold(
    passed: NDArray[np.int64], runs: Sequence[int], *, escape: float, confidence: float
) -> tuple[int, list[float]]:
    """Return the place of the lowest threshold that keeps the promise, and the promised share of each class.

    Args:
        passed: drawn frames that pass, int64[classes, thresholds], thresholds ascending.
        runs: of each class.
        escape: the wished share.
        confidence: of the promise.
    """
    shares = [max(escape, least_share(n, confidence)) for n in runs]
    allowed = [most_cases(share, n, confidence) for share, n in zip(shares, runs, strict=True)]
    broken = np.flatnonzero((passed > np.array(allowed)[:, None]).any(axis=0))
    place = int(broken[-1]) + 1 if len(broken) else 0
    if place < passed.shape[1]:
        return place, shares
    bounds = [exact_upper(int(k), n, confidence) for k, n in zip(passed[:, -1], runs, strict=True)]
    return passed.shape[1] - 1, [max(pair) for pair in zip(shares, bounds, strict=True)]
