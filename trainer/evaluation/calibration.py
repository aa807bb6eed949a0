"""Calibrated confidence: one temperature for the logits, fitted on tuning frames (Guo et al. 2017).

The fit is against Platt's targets (1999): of n frames, the right class gets (n + 1) / (n + 2), and the others
share the rest. So the certainty that a fit gives is one that n frames can show. With plain labels, a hundred
right answers would be fitted best by a certainty of 1.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from trainer.evaluation.metrics import calibration_error, independent_groups

MIN_FRAMES = 100  # to tune on: with fewer, a handful of mistakes decides the temperature
_TEMPERATURES = torch.logspace(-1, 1, 233, dtype=torch.float64)  # 0.1 to 10 in steps of 2%


@dataclass(frozen=True)
class Calibration:
    """A temperature, which divides the logits, and the reason for it in ``why``.

    The errors are expected calibration errors. ``error_after`` is cross-fitted: each half of the frames is
    judged with the temperature of the other half, because a temperature looks too good on the frames that it
    was fitted on. It is None if there were no two halves to fit.
    """

    temperature: float
    calibrated: bool
    why: str
    n: int
    error_before: float | None  # None if an answer is not a number
    error_after: float | None


def calibrate(probabilities: Tensor, labels: Tensor, runs: Sequence[str | None] = ()) -> Calibration:
    """Fit a temperature, unless the frames cannot show one.

    They cannot if they are too few, if they are all of one run, if the best temperature is the end of the
    search, if answers would become surer although none of them is wrong, or if the temperature does not help
    on frames that it was not fitted on.

    Args:
        probabilities: ``[N, C]`` of tuning frames (:mod:`trainer.evaluation.tuning`), which sum to one.
        labels: int64[N].
        runs: the run of each frame. Frames of a run stay in one half.
    """
    n, finite = len(labels), bool(probabilities.isfinite().all())
    before = calibration_error(probabilities, labels) if finite and n else None
    half = _half(n, runs)
    why: str | None = None
    if not finite:
        why = "the network gave answers that are not numbers"
    elif n < MIN_FRAMES:
        why = f"{n} held-out frames can be spared for it, {MIN_FRAMES} are needed"
    elif bool(half.all()):
        why = "all tuning frames are of one run, so there is no other run to try a temperature on"
    if why:
        return Calibration(1.0, False, f"uncalibrated: {why}", n, before, None)

    targets = _platt_targets(labels, probabilities.shape[1])
    cross_fitted = torch.empty_like(probabilities)
    for fitted, judged in ((half, ~half), (~half, half)):
        temperature = _fit(probabilities[fitted], targets[fitted])
        cross_fitted[judged] = at_temperature(probabilities[judged], temperature)
    after = calibration_error(cross_fitted, labels)
    temperature = _fit(probabilities, targets)
    if _loss(cross_fitted, targets) >= _loss(probabilities, targets):
        why = f"a temperature does not help on frames that it was not fitted on (n = {n})"
    elif temperature in (float(_TEMPERATURES[0]), float(_TEMPERATURES[-1])):
        why = (
            f"the best temperature is at an end of the search, {temperature:g}, so it does not fit (n = {n})"
        )
    elif temperature < 1 and bool((probabilities.argmax(dim=1) == labels).all()):
        why = f"no answer to {n} tuning frames is wrong, so they do not show how high confidence may be"
    if why:
        return Calibration(1.0, False, f"uncalibrated: {why}", n, before, after)
    return Calibration(temperature, True, f"fitted on {n} tuning frames", n, before, after)


def at_temperature(probabilities: Tensor, temperature: float) -> Tensor:
    """The probabilities of the logits divided by ``temperature``."""
    return (probabilities.clamp_min(1e-12).log() / temperature).softmax(dim=1)


def cross_fitted_entropy(probabilities: Tensor, labels: Tensor, runs: Sequence[str | None] = ()) -> float:
    """Mean cross entropy in nats, each half of the frames at the temperature that is best for the other.

    It compares networks of equal accuracy by how sure they are of the right class, independently of label
    smoothing. Frames of a run are in one half; if there is one run only, the temperature stays at 1. The fit
    is against Platt's targets, so that a half without a mistake does not allow any certainty.
    """
    half, fitted = _half(len(labels), runs), probabilities.double()
    if not bool(half.all()):
        fitted = torch.empty_like(fitted)
        for one, other in ((half, ~half), (~half, half)):
            temperature = _fit(probabilities[one], _platt_targets(labels[one], probabilities.shape[1]))
            fitted[other] = at_temperature(probabilities[other], temperature).double()
    return _loss(fitted, F.one_hot(labels, probabilities.shape[1]).double())


def _half(n: int, runs: Sequence[str | None]) -> Tensor:
    """About half of the frames, bool[n]; a run is in one half, and a frame without a run is a run of its own.

    Runs come in the order of their classes, so each goes to the half that is smaller so far.
    """
    groups = independent_groups(n, runs)
    sides: dict[int, bool] = {}
    frames = {True: 0, False: 0}
    for group, count in Counter(groups).items():
        sides[group] = frames[True] <= frames[False]
        frames[sides[group]] += count
    return torch.tensor([sides[group] for group in groups])


def _platt_targets(labels: Tensor, classes: int) -> Tensor:
    """Soft labels ``float64[N, C]``: the right class's share is the most that N frames can show."""
    right = (len(labels) + 1) / (len(labels) + 2)
    targets = torch.full((len(labels), classes), (1 - right) / (classes - 1), dtype=torch.float64)
    return targets.scatter_(1, labels[:, None], right)


def _fit(probabilities: Tensor, targets: Tensor) -> float:
    losses = [_loss(at_temperature(probabilities, float(t)), targets) for t in _TEMPERATURES]
    return float(_TEMPERATURES[losses.index(min(losses))])


def _loss(probabilities: Tensor, targets: Tensor) -> float:
    """Mean cross entropy in nats against soft labels."""
    return -(targets * probabilities.double().clamp_min(1e-12).log()).sum(dim=1).mean().item()
