"""Batch norm's statistics, computed again from whole frames.

During training they are running means over the views: crops, mixed with each other, and smaller by
``network.grow`` than the whole frames that the network gets later.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from trainer.data.resizing import prepare
from trainer.network.prediction import as_input

MAX_FRAMES = 1000  # Wu and Johnson 2021 see no gain from more
FRAMES_PER_BATCH = 32  # limits the memory; the statistics are means over all batches


def recompute(network: nn.Module, frames: Tensor, height: int, width: int) -> None:
    """Replace the statistics of ``network`` ("precise batch norm", Wu and Johnson 2021, section 3).

    Args:
        network: takes frames ``[B, 1, H, W]`` from 0 to 1, on any device; ends in evaluation mode.
        frames: uint8[N, 1, h, w] as kept for training, N ≥ 2; of many, an even sample is used.
        height: of the frames that the network will get, pixels.
        width: of the same frames, pixels.
    """
    rows = torch.linspace(0, len(frames) - 1, min(len(frames), MAX_FRAMES)).long()
    batches = -(-len(rows) // FRAMES_PER_BATCH)
    update_bn(
        (
            as_input(torch.stack([prepare(frames[row], height, width) for row in rows[first::batches]]))
            for first in range(batches)  # frames are sorted by class: every batch gets some of each
        ),
        network,
        device=next(network.parameters()).device,
    )
    network.eval()
