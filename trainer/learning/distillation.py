"""The ensemble's labels for the student (Algorithm 1, lines 8 to 14)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from trainer.network.ensemble import pseudo_label


class PseudoLabels:
    """Targets of the student: the ensemble's labels for the same augmented views (line 9)."""

    def __init__(
        self,
        teachers: Sequence[nn.Module],
        *,
        kind: Literal["focal", "mean"],
        k: float,
        true_labels: float = 0.0,
        adjustment: Tensor | None = None,
    ) -> None:
        """Put trained teachers into evaluation mode, without gradients.

        Args:
            teachers: networks from frames to logits.
            kind: how their probabilities are combined.
            k: exponent of eq. 2.
            true_labels: weight of the true label beside the pseudo label; 0 in Algorithm 1.
            adjustment: float[C] that is added to the teachers' logits (:mod:`trainer.learning.imbalance`).
        """
        self._teachers = [teacher.eval().requires_grad_(False) for teacher in teachers]
        self._kind: Literal["focal", "mean"] = kind
        self._k, self._true_labels, self._adjustment = k, true_labels, adjustment

    @torch.no_grad()
    def __call__(self, views: Tensor, truth: Tensor) -> Tensor:
        """Return soft labels ``[B, C]`` for float views ``[B, 1, H, W]``.

        ``truth`` holds the true labels as shares, ``[B, C]``. The row of a frame without a label is zero; its
        soft label is the ensemble's alone.
        """
        labels = pseudo_label(self._probabilities(views), self._kind, self._k)
        known = self._true_labels * truth.sum(dim=1, keepdim=True)
        return (1 - known) * labels + self._true_labels * truth

    def _probabilities(self, views: Tensor) -> Tensor:
        logits = torch.stack([teacher(views).float() for teacher in self._teachers])
        if self._adjustment is not None:
            logits = logits + self._adjustment.to(logits.device)
        return logits.softmax(dim=-1)
