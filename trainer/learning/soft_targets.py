"""Soft targets: labels as shares of the classes, and mixup."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def class_shares(labels: Tensor, classes: int, smoothing: float) -> Tensor:
    """Class numbers int64[B] as shares float[B, classes]; a frame without a label (-1) has none of any."""
    known = (labels >= 0).unsqueeze(1)
    return (F.one_hot(labels.clamp_min(0), classes) * (1 - smoothing) + smoothing / classes) * known


def mix(views: Tensor, alpha: float) -> tuple[Tensor, Tensor, float]:
    """Mixup (Zhang et al. 2018): blend each view with another one of the batch.

    Args:
        views: float[B, ...].
        alpha: of the Beta(α, α) from which the share is drawn; 0: no mixup.

    Returns:
        The blended views; the row of each one's partner; the share of its own, at least a half.
    """
    partners = torch.arange(len(views))
    if not alpha:
        return views, partners, 1.0
    share = torch.distributions.Beta(alpha, alpha).sample().item()
    share = max(share, 1 - share)  # so the labels in their own order stay the larger part
    partners = torch.randperm(len(views))
    return share * views + (1 - share) * views[partners], partners, share
