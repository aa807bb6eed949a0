"""How far a student's maps reach on training frames: what static int8 spreads its levels over.

Dynamic int8 takes from them only how the two inputs of one layer compare (:func:`pool_balances`).

A range is the one that rounds and cuts with the least squared error. Measured against the plain peak and
percentiles: docs/explanation/dynamic-int8.md.
"""

from __future__ import annotations

from collections import defaultdict
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn

from trainer.int8.linear import MAX_LEVEL
from trainer.network.weldnet import WeldBlock, WeldNet

Ranges = dict[str, float]  # by the name of the student's module: the magnitude of its output at the top level

CALIBRATION_FRAMES = 64  # at most: spread over the training frames; some seconds of work
_SAMPLES_PER_MAP = 4096  # values of each map of each frame, beside its peak
_SHARES_OF_PEAK = torch.arange(0.4, 1.005, 0.01)  # shares of the peak that a range may be


def calibrate(student: WeldNet, frames: Tensor) -> Ranges:
    """The range of each map between a student's layers.

    Args:
        student: in evaluation mode.
        frames: prepared training frames, uint8[N, 1, H, W], N ≥ 1.
    """
    magnitudes = _sample_magnitudes(student, frames)
    return {name: _best_range(values) for name, values in magnitudes.items()}


def pool_balances(ranges: Ranges) -> dict[str, float]:
    """Of each block with a pooled shortcut: what brings the pool's reach to that of the main path's map.

    Within sixteenfold: beyond that one of them is blank on the training frames, and need not be elsewhere.
    """
    pools = [name.removesuffix(".shortcut.0") for name in ranges if name.endswith(".shortcut.0")]
    ratios = {name: ranges[f"{name}.main.2"] / ranges[f"{name}.shortcut.0"] for name in pools}
    return {name: min(max(ratio, 1 / 16), 16.0) for name, ratio in ratios.items()}


def _best_range(values: Tensor) -> float:
    """Of the candidates the one whose levels lie nearest to the values, in the mean of squares."""
    peak = values.max().clamp_min(1e-6)  # a map that is always blank needs some range: any will do
    errors = []
    for share in _SHARES_OF_PEAK:
        scale = peak * share / MAX_LEVEL
        rounded = (values / scale).round_().clamp_(max=MAX_LEVEL).mul_(scale)
        errors.append(rounded.sub_(values).square_().mean())
    return float(peak * _SHARES_OF_PEAK[int(torch.stack(errors).argmin())])


def _sample_magnitudes(student: WeldNet, frames: Tensor) -> dict[str, Tensor]:
    """Of each map of each frame a sample of the magnitudes and their peak, float32[n]."""
    samples: dict[str, list[Tensor]] = defaultdict(list)

    def sample(name: str, _module: nn.Module, _inputs: object, output: Tensor) -> None:
        values = output.abs().flatten()
        samples[name] += [values[:: max(1, len(values) // _SAMPLES_PER_MAP)].clone(), values.max().view(1)]

    handles = [
        module.register_forward_hook(partial(sample, name))
        for name, module in _quantized_maps(student).items()
    ]
    try:
        with torch.no_grad():
            for frame in torch.split(frames, 1):
                student(frame / 255)
    finally:
        for handle in handles:
            handle.remove()
    return {name: torch.cat(values) for name, values in samples.items()}


def _quantized_maps(student: WeldNet) -> dict[str, nn.Module]:
    """The modules whose outputs static int8 keeps as levels, by their names in the student."""
    maps: dict[str, nn.Module] = {"stem": student.stem}
    for i, block in enumerate(cast("list[WeldBlock]", student.blocks)):
        maps |= {f"blocks.{i}": block, f"blocks.{i}.main.2": block.main[2]}
        if not isinstance(block.shortcut, nn.Identity):
            shortcut = cast(nn.Sequential, block.shortcut)
            maps[f"blocks.{i}.shortcut.0"] = shortcut[0]
    return maps
