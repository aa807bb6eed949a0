"""Weights rounded as int8 will round them, for the last epochs of a distillation.

Most of an int8 network's error comes from rounding the weights. A network that learns with rounded weights
compensates it: the gradient is computed at the rounded weights and applied to the unrounded ones
(straight-through, Bengio et al. 2013).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import torch
from torch import nn

from trainer.int8.folding import fold_norm, norm_factor
from trainer.int8.linear import round_weight
from trainer.network.weldnet import WeldBlock


@contextmanager
def rounded_weights(network: nn.Module) -> Iterator[None]:
    """Give every convolution and linear layer the weights of its int8 layer, and its own again at the end.

    A batch norm is folded into its convolution channel by channel. This changes the rounding only if two
    convolutions become one layer (:func:`trainer.int8.folding.down_layers`), here with a balance of 1.
    """
    kept = {layer: layer.weight.detach().clone() for layer in _layers(network)}
    scales = {layer: round_weight(weight)[1] for layer, weight in kept.items()}
    for pairs in _merged(network):
        folded = torch.cat([fold_norm(conv, norm)[0] for conv, norm in pairs], dim=1)
        for conv, norm in pairs:  # a factor of 0 leaves nothing to round
            scales[conv] = round_weight(folded)[1] / norm_factor(norm).abs().clamp_min(1e-12)
    with torch.no_grad():
        for layer, weight in kept.items():
            scale = scales[layer].view(-1, *[1] * (weight.dim() - 1))
            layer.weight.copy_(torch.round(weight / scale) * scale)
    try:
        yield
    finally:
        with torch.no_grad():
            for layer, weight in kept.items():
                layer.weight.copy_(weight)


def _layers(network: nn.Module) -> Iterator[nn.Conv2d | nn.Linear]:
    return (module for module in network.modules() if isinstance(module, nn.Conv2d | nn.Linear))


def _merged(network: nn.Module) -> Iterator[list[tuple[nn.Conv2d, nn.Module]]]:
    """Yield the two convolutions and batch norms of every block that becomes one int8 layer."""
    for block in network.modules():
        if isinstance(block, WeldBlock) and isinstance(block.shortcut, nn.Sequential):
            main, side = cast(nn.Conv2d, block.main[3]), cast(nn.Conv2d, block.shortcut[1])
            yield [(main, block.main[4]), (side, block.shortcut[2])]
