"""Calibrated confidence: one temperature for the logits, fitted on held-out frames (Guo et al. 2017)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from trainer.evaluation.metrics import calibration_error

MIN_FRAMES = 100  # held out: with fewer, a handful of mistakes decides the temperature
_TEMPERATURES = torch.logspace(-1, 1, 233, dtype=torch.float64)  # 0.1 to 10 in steps of 2%


@dataclass(frozen=True)
class Calibration:
    """A temperature, which divides the logits, and the reason for it in ``why``.

    The errors are expected calibration errors. ``error_after`` is cross-fitted: each half of the frames is
    judged with the temperature of the other half, because a temperature looks too good on the frames that it
    was fitted on.
    """

    temperature: float
    calibrated: bool
    why: str
    n: int
    error_before: float
    error_after: float | None


def calibrate(probabilities: Tensor, labels: Tensor, runs: Sequence[str | None] = ()) -> Calibration:
    """Fit a temperature, unless there are too few frames or it does not help on other frames.

    Args:
        probabilities: ``[N, C]`` of held-out frames, which sum to one.
        labels: int64[N].
        runs: the run of each frame. Frames of a run stay in one half.
    """
    n, before = len(labels), calibration_error(probabilities, labels)
    if n < MIN_FRAMES:
        why = f"uncalibrated: {n} held-out frames are too few, {MIN_FRAMES} are needed"
        return Calibration(1.0, False, why, n, before, None)
    half = _half(n, runs)
    cross_fitted = torch.empty_like(probabilities)
    for fitted, judged in ((half, ~half), (~half, half)):
        temperature = _fit(probabilities[fitted], labels[fitted])
        cross_fitted[judged] = at_temperature(probabilities[judged], temperature)
    after = calibration_error(cross_fitted, labels)
    if _loss(cross_fitted, labels) >= _loss(probabilities, labels):
        why = f"uncalibrated: a temperature does not help on frames that it was not fitted on (n = {n})"
        return Calibration(1.0, False, why, n, before, after)
    return Calibration(_fit(probabilities, labels), True, f"fitted on {n} held-out frames", n, before, after)


def at_temperature(probabilities: Tensor, temperature: float) -> Tensor:
    """The probabilities of the logits divided by ``temperature``."""
    return (probabilities.clamp_min(1e-12).log() / temperature).softmax(dim=1)


def least_cross_entropy(probabilities: Tensor, labels: Tensor) -> float:
    """Mean cross entropy in nats at the temperature that is best for these frames.

    It compares networks of equal accuracy by how sure they are of the right class, independently of label
    smoothing. The temperature is fitted on the same frames, so it makes all networks look a little better.
    """
    return _loss(at_temperature(probabilities, _fit(probabilities, labels)), labels)


def _half(n: int, runs: Sequence[str | None]) -> Tensor:
    """About half of the frames, bool[n]: every second run, and every second frame without a run."""
    numbers: dict[object, int] = {}
    groups = [run if run is not None else i for i, run in enumerate(runs or [None] * n)]
    return torch.tensor([numbers.setdefault(group, len(numbers)) % 2 == 0 for group in groups])


def _fit(probabilities: Tensor, labels: Tensor) -> float:
    losses = [_loss(at_temperature(probabilities, float(t)), labels) for t in _TEMPERATURES]
    return float(_TEMPERATURES[losses.index(min(losses))])


def _loss(probabilities: Tensor, labels: Tensor) -> float:
    return F.nll_loss(probabilities.double().clamp_min(1e-12).log(), labels).item()
