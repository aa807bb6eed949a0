"""Algorithm 1, lines 8 to 14: the student learns from the ensemble's pseudo labels alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from trainer.ensemble import pseudo_label


class PseudoLabels:
    """Labels for whatever frames the student sees, as it sees them (line 9: the same augmented view)."""

    def __init__(self, teachers: Sequence[nn.Module], *, kind: Literal["focal", "mean"], k: float) -> None:
        """Take trained teachers; they are put into evaluation mode and never learn again.

        Args:
            teachers: networks from frames to logits.
            kind: how they speak as one.
            k: exponent of eq. 2.
        """
        self._teachers = [teacher.eval().requires_grad_(False) for teacher in teachers]
        self._kind: Literal["focal", "mean"] = kind
        self._k = k

    @torch.no_grad()
    def __call__(self, views: Tensor, labels: Tensor) -> Tensor:
        """Float views ``[B, 1, H, W]`` → soft labels ``[B, C]``; the true ``labels`` are not looked at."""
        probabilities = torch.stack([teacher(views).softmax(dim=1) for teacher in self._teachers])
        return pseudo_label(probabilities, self._kind, self._k)
