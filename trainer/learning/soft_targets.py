"""Soft targets: smoothed labels, and mixup."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def class_shares(labels: Tensor, classes: int, smoothing: float) -> Tensor:
    """Turn class numbers int64[B] into shares float[B, classes]. A frame without a label (-1) gets zeros."""
    known = (labels >= 0).unsqueeze(1)
    return (F.one_hot(labels.clamp_min(0), classes) * (1 - smoothing) + smoothing / classes) * known


def mix(views: Tensor, alpha: float) -> tuple[Tensor, Tensor, float]:
    """Mixup (Zhang et al. 2018): blend each view with another one of the batch.

    Args:
        views: float[B, ...].
        alpha: α of Beta(α, α), from which the share is drawn; 0: no mixup.

    Returns:
        The blended views; the row of each view's partner; the share of the view itself, at least a half.
    """
    partners = torch.arange(len(views))
    if not alpha:
        return views, partners, 1.0
    share = torch.distributions.Beta(alpha, alpha).sample().item()
    share = max(share, 1 - share)  # so that each view keeps the larger share of itself
    partners = torch.randperm(len(views))
    return share * views + (1 - share) * views[partners], partners, share
