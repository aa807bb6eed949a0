"""How sure a network may say it is: one temperature, fitted on held-out frames (Guo et al. 2017)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from trainer.evaluation.metrics import calibration_error

MIN_FRAMES = 100  # held out: with fewer a handful of mistakes decides the temperature
_TEMPERATURES = torch.logspace(-1, 1, 233, dtype=torch.float64)  # 0.1 to 10 in steps of 2%


@dataclass(frozen=True)
class Calibration:
    """``temperature`` is what logits are divided by; ``why`` tells how it came about, or why there is none.

    The errors are expected calibration errors. ``error_after`` is cross-fitted: of each half of the frames,
    with the temperature of the other half, since it flatters on the frames that it was fitted on.
    """

    temperature: float
    calibrated: bool
    why: str
    n: int
    error_before: float
    error_after: float | None


def calibrate(probabilities: Tensor, labels: Tensor, runs: Sequence[str | None] = ()) -> Calibration:
    """Fit a temperature, unless there is too little to fit it on or it does not help on other frames.

    Args:
        probabilities: ``[N, C]`` of held-out frames, which sum to one.
        labels: int64[N].
        runs: of each frame: a run's frames stay in one half.
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
        why = f"uncalibrated: on the frames that it was not fitted on, a temperature does not help (n = {n})"
        return Calibration(1.0, False, why, n, before, after)
    return Calibration(_fit(probabilities, labels), True, f"fitted on {n} held-out frames", n, before, after)


def at_temperature(probabilities: Tensor, temperature: float) -> Tensor:
    """The probabilities that logits over ``temperature`` would have given."""
    return (probabilities.clamp_min(1e-12).log() / temperature).softmax(dim=1)


def least_cross_entropy(probabilities: Tensor, labels: Tensor) -> float:
    """Mean cross entropy in nats under the temperature that suits these very frames best.

    It tells networks apart where accuracy cannot, by how sure they are of what is right, whatever smoothing
    made them shy. One number is fitted on the frames that it is told of, so it flatters, all alike.
    """
    return _loss(at_temperature(probabilities, _fit(probabilities, labels)), labels)


def _half(n: int, runs: Sequence[str | None]) -> Tensor:
    """About half of the frames, bool[n]; every other run, and every other frame that has none."""
    numbers: dict[object, int] = {}
    groups = [run if run is not None else i for i, run in enumerate(runs or [None] * n)]
    return torch.tensor([numbers.setdefault(group, len(numbers)) % 2 == 0 for group in groups])


def _fit(probabilities: Tensor, labels: Tensor) -> float:
    losses = [_loss(at_temperature(probabilities, float(t)), labels) for t in _TEMPERATURES]
    return float(_TEMPERATURES[losses.index(min(losses))])


def _loss(probabilities: Tensor, labels: Tensor) -> float:
    return F.nll_loss(probabilities.double().clamp_min(1e-12).log(), labels).item()
