"""Algorithm 1, lines 8 to 14: the student learns from the ensemble's pseudo labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from trainer.network.ensemble import pseudo_label


class PseudoLabels:
    """Labels for whatever frames the student sees, as it sees them (line 9: the same augmented view)."""

    def __init__(
        self,
        teachers: Sequence[nn.Module],
        *,
        kind: Literal["focal", "mean"],
        k: float,
        true_labels: float = 0.0,
    ) -> None:
        """Take trained teachers; they are put into evaluation mode and never learn again.

        Args:
            teachers: networks from frames to logits.
            kind: how they speak as one.
            k: exponent of eq. 2.
            true_labels: share of the true labels beside the pseudo labels; Algorithm 1 has none.
        """
        self._teachers = [teacher.eval().requires_grad_(False) for teacher in teachers]
        self._kind: Literal["focal", "mean"] = kind
        self._k, self._true_labels = k, true_labels

    @torch.no_grad()
    def __call__(self, views: Tensor, truth: Tensor) -> Tensor:
        """Float views ``[B, 1, H, W]`` → soft labels ``[B, C]``.

        ``truth`` holds the true labels as shares, ``[B, C]``. Where a frame has none its row sums to zero,
        and the ensemble alone speaks.
        """
        labels = pseudo_label(self._probabilities(views), self._kind, self._k)
        known = self._true_labels * truth.sum(dim=1, keepdim=True)
        return (1 - known) * labels + self._true_labels * truth

    def _probabilities(self, views: Tensor) -> Tensor:
        return torch.stack([teacher(views).float().softmax(dim=1) for teacher in self._teachers])
