"""Predictions of a network: prepared frames in, probabilities out."""

from __future__ import annotations

import torch
from torch import Tensor, nn


@torch.inference_mode()
def predict(network: nn.Module, images: Tensor, batch_size: int = 16) -> Tensor:
    """Return probabilities ``[N, C]`` of prepared frames ``uint8[N, 1, H, W]``.

    Batches only bound the memory. The network's device computes them. Frames come from the CPU, and answers
    return to it.
    """
    network.eval()
    device = next(network.parameters()).device
    batches = (as_input(images[i : i + batch_size].to(device)) for i in range(0, len(images), batch_size))
    return torch.cat([network(batch).float().softmax(dim=1).cpu() for batch in batches])


def as_input(images: Tensor) -> Tensor:
    """Turn ``uint8[N, 1, H, W]`` into floats from 0 to 1, channels-last, the CPU's fastest order."""
    return images.to(torch.float32).div_(255).contiguous(memory_format=torch.channels_last)
