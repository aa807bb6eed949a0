"""Several networks' word as one: the mean and the focal ensemble (section 2.5)."""

from __future__ import annotations

from typing import Literal

from torch import Tensor


def mean(probabilities: Tensor) -> Tensor:
    """The mean ensemble: ``[N, B, C]`` probabilities of N networks → ``[B, C]``, which sum to one."""
    return probabilities.mean(dim=0)


def focal(probabilities: Tensor, k: float) -> Tensor:
    """The focal ensemble, eq. 2 as printed: ``y = (1/N) (Σ yᵢᵏ)^(1/k)``, over probabilities.

    The larger ``k``, the more a confident network counts. The result does not sum to one (for k = 2 and N
    agreeing networks it sums to 1/√N): good for the top class, not yet for a label.

    Args:
        probabilities: ``[N, B, C]`` of N networks.
        k: exponent; 1 gives the mean ensemble, 2 is the paper's.

    Returns:
        ``[B, C]``, not negative.
    """
    return (probabilities**k).sum(dim=0) ** (1 / k) / probabilities.shape[0]


def pseudo_label(probabilities: Tensor, kind: Literal["focal", "mean"], k: float) -> Tensor:
    """The ensemble's word as a label to learn from: ``[N, B, C]`` → ``[B, C]``, which sums to one.

    Eq. 2 is divided by its sum here. A soft-label cross entropy with labels that sum to less than one is
    the same loss times that sum, which differs from frame to frame: without normalising, frames on which
    the networks disagree would silently weigh otherwise. The paper does not say what it does.
    """
    combined = focal(probabilities, k) if kind == "focal" else mean(probabilities)
    return combined / combined.sum(dim=1, keepdim=True)
