"""Classes with few frames: logit adjustment, and sampling by class.

*Logit adjustment* (Menon et al. 2021, equation 10) adds τ times the logarithm of the classes' shares to the
logits, in the loss only. So a network learns what a frame shows beyond how common its class is. With τ = 1
its answers are those for classes that are equally common.

The student learns the ensemble's labels. Teachers answer without the shares, so the same numbers are added
to their logits before they label a frame. Then their labels, the true labels and the student's loss are all
about the shares of the training frames. Temperature and thresholds are fitted on held-out frames as they are,
so they see the common classes as often as the station does.
"""

from __future__ import annotations

import torch
from torch import Tensor

from trainer.recipe import Training


def log_shares(labels: Tensor, classes: int, sampling: float) -> Tensor:
    """Return the logarithm of the share of views that each class has in training, float[classes].

    Args:
        labels: int64[N]; -1 for a frame without a label, which does not count.
        classes: number of classes.
        sampling: ``training.balanced_sampling``, which changes the shares.
    """
    counts = torch.bincount(labels[labels >= 0].cpu(), minlength=classes).clamp_min(1).float()
    return (counts ** (1 - sampling)).log().log_softmax(dim=0)


def adjustment(labels: Tensor, classes: int, how: Training) -> Tensor | None:
    """Return the numbers to add to the logits in the loss; None without logit adjustment."""
    if not how.logit_adjustment:
        return None
    return how.logit_adjustment * log_shares(labels, classes, how.balanced_sampling)


def shift_of_linear_model(labels: Tensor, classes: int, how: Training) -> Tensor | None:
    """Return the numbers to add to the logits of a model that was fitted to every frame once.

    Then it answers for the same shares as the networks. None: the networks answer for the frames' own shares.
    """
    if not how.logit_adjustment and not how.balanced_sampling:
        return None
    sampled = log_shares(labels, classes, how.balanced_sampling)
    return (1 - how.logit_adjustment) * sampled - log_shares(labels, classes, 0.0)


def balanced_rows(labels: Tensor, exponent: float) -> Tensor:
    """Draw the rows of one pass, int64[N], in random order: frames of rare classes come several times.

    A frame's expected number is in proportion to n^-exponent, with n the frames of its class; 1 gives each
    class the same number of views. Each frame comes that often, rounded up or down at random.
    A frame without a label comes once on average.

    Args:
        labels: int64[N]; -1 for a frame without a label.
        exponent: from 0 to 1.
    """
    known = labels >= 0
    expected = torch.ones(len(labels), dtype=torch.float64)
    weights = torch.bincount(labels[known]).double()[labels[known]] ** -exponent
    expected[known] = weights * len(weights) / weights.sum()
    order = torch.randperm(len(labels))
    ends = expected[order].cumsum(0)
    ticks = torch.arange(len(labels)) + torch.rand((), dtype=torch.float64)
    rows = order[torch.searchsorted(ends, ticks, right=True).clamp_max(len(labels) - 1)]
    return rows[torch.randperm(len(rows))]
