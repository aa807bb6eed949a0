"""Batch norm's statistics taken again, of frames as they will come, where those are larger than in training.

While a network learns they are running means of what it learns from: crops, mixed with each other, and
smaller by ``network.grow`` than the whole frames that it is given later.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from trainer.data.resizing import prepare
from trainer.network.prediction import as_input

MAX_FRAMES = 1000  # Wu and Johnson 2021 see no gain beyond
FRAMES_PER_BATCH = 32  # only bounds the memory: the mean over batches counts


def recompute(network: nn.Module, frames: Tensor, height: int, width: int) -> None:
    """Replace the statistics of ``network`` in place ("precise batch norm", Wu and Johnson 2021, section 3).

    Args:
        network: from frames ``[B, 1, H, W]`` from 0 to 1, on any device. It is left in evaluation mode.
        frames: uint8[N, 1, h, w] as kept for training, N ≥ 2; of many, some are taken evenly.
        height: of the frames that the network will be given, pixels.
        width: of the same.
    """
    rows = torch.linspace(0, len(frames) - 1, min(len(frames), MAX_FRAMES)).long()
    batches = -(-len(rows) // FRAMES_PER_BATCH)
    update_bn(
        (
            as_input(torch.stack([prepare(frames[row], height, width) for row in rows[first::batches]]))
            for first in range(batches)  # classes stand in order: every batch has a share of each
        ),
        network,
        device=next(network.parameters()).device,
    )
    network.eval()
