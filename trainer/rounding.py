"""Weights as int8 will hold them, for a distillation's last epochs (straight-through, Bengio et al. 2013).

Rounding the weights is where most of an int8 network's error is. A network that learns with rounded weights
learns around it: the gradient is taken at the rounded weights and moves the unrounded ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import torch
from torch import Tensor, nn

from trainer.quantization import round_weight
from trainer.weldnet import WeldBlock


@contextmanager
def rounded_weights(network: nn.Module) -> Iterator[None]:
    """Within, every convolution and linear layer has the weights of its int8 layer; afterwards its own again.

    A batch norm is folded into its convolution's weights channel by channel, and so changes no rounding but
    where two convolutions are one layer (:func:`trainer.layers.down_layers`), here with a balance of 1.
    """
    kept = {layer: layer.weight.detach().clone() for layer in _layers(network)}
    pairs = {side: (main, norms) for main, side, norms in _merged(network)}
    with torch.no_grad():
        for layer, weight in kept.items():
            layer.weight.copy_(_on_grid(weight, round_weight(weight)[1]))
        for side, (main, norms) in pairs.items():
            factors = [_factor(norm) for norm in norms]
            weights = [kept[main], kept[side]]
            folded = [weight * _by_row(factor) for weight, factor in zip(weights, factors, strict=True)]
            scale = round_weight(torch.cat(folded, dim=1))[1]
            for layer, weight, factor in zip((main, side), weights, factors, strict=True):
                layer.weight.copy_(_on_grid(weight, scale / factor))
    try:
        yield
    finally:
        with torch.no_grad():
            for layer, weight in kept.items():
                layer.weight.copy_(weight)


def _layers(network: nn.Module) -> Iterator[nn.Conv2d | nn.Linear]:
    return (module for module in network.modules() if isinstance(module, nn.Conv2d | nn.Linear))


def _merged(network: nn.Module) -> Iterator[tuple[nn.Conv2d, nn.Conv2d, tuple[nn.Module, nn.Module]]]:
    """Main and side convolution of each block whose sum is one layer, with their batch norms."""
    for block in network.modules():
        if isinstance(block, WeldBlock) and isinstance(block.shortcut, nn.Sequential):
            main, side = cast(nn.Conv2d, block.main[3]), cast(nn.Conv2d, block.shortcut[1])
            yield main, side, (block.main[4], block.shortcut[2])


def _factor(norm: nn.Module) -> Tensor:
    """What a batch norm multiplies each channel by, without its sign; never 0, which nothing divides by."""
    norm = cast(nn.BatchNorm2d, norm)
    return (norm.weight / torch.sqrt(cast(Tensor, norm.running_var) + norm.eps)).abs().clamp_min(1e-12)


def _on_grid(weight: Tensor, scale: Tensor) -> Tensor:
    return torch.round(weight / _by_row(scale, weight.dim())) * _by_row(scale, weight.dim())


def _by_row(values: Tensor, dimensions: int = 4) -> Tensor:
    return values.view(-1, *[1] * (dimensions - 1))
