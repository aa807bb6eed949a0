"""One answer from several networks: the mean and the focal ensemble (section 2.5 of the paper)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor


def mean(probabilities: Tensor) -> Tensor:
    """The mean ensemble: ``[N, B, C]`` probabilities of N networks → ``[B, C]``, which sum to one."""
    return probabilities.mean(dim=0)


def focal(probabilities: Tensor, k: float) -> Tensor:
    """The focal ensemble, eq. 2 as printed: ``y = (1/N) (Σ yᵢᵏ)^(1/k)``, over probabilities.

    A confident network counts more with a larger ``k``. The result does not sum to one: for k = 2 and N
    networks that agree, it sums to 1/√N. It gives the top class, but is not yet a label.

    Args:
        probabilities: ``[N, B, C]`` of N networks.
        k: exponent; 1 gives the mean ensemble, 2 is the paper's.

    Returns:
        ``[B, C]``, not negative.
    """
    # Powers of shares of the largest one: the power itself underflows if k is large and no network is sure
    most = probabilities.amax(dim=0).clamp_min(torch.finfo(probabilities.dtype).tiny)
    return most * ((probabilities / most) ** k).sum(dim=0) ** (1 / k) / probabilities.shape[0]


def pseudo_label(probabilities: Tensor, kind: Literal["focal", "mean"], k: float) -> Tensor:
    """The ensemble's answer as a label to learn from: ``[N, B, C]`` → ``[B, C]``, which sums to one.

    Here eq. 2 is divided by its sum. With labels that sum to less than one, a soft-label cross entropy is the
    same loss times that sum, and the sum differs from frame to frame. So without the division, frames on
    which the networks disagree would have another weight. The paper does not mention it.
    """
    combined = focal(probabilities, k) if kind == "focal" else mean(probabilities)
    return combined / combined.sum(dim=1, keepdim=True)
