"""Ranges of a student's maps on training frames: static int8 spreads its levels over them.

Dynamic int8 uses them only to balance the two inputs of one layer (:func:`pool_balances`).

The range of a map is the one with the least squared error of rounding and clipping. It is compared with the
plain peak and with percentiles in docs/explanation/dynamic-int8.md.
"""

from __future__ import annotations

from collections import defaultdict
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn

from trainer.int8.linear import MAX_LEVEL
from trainer.network.weldnet import WeldBlock, WeldNet

Ranges = dict[str, float]  # by the name of the student's module: the value of the top level in its output

CALIBRATION_FRAMES = 64  # at most, spread over the training frames: some seconds of work
_SAMPLES_PER_MAP = 4096  # values per map and frame, in addition to its peak
_SHARES_OF_PEAK = torch.arange(0.4, 1.005, 0.01)  # candidates for a range, as shares of the peak


def calibrate(student: WeldNet, frames: Tensor) -> Ranges:
    """Choose the range of each map between a student's layers.

    Args:
        student: in evaluation mode.
        frames: prepared training frames, uint8[N, 1, H, W], N ≥ 1.
    """
    magnitudes = _sample_magnitudes(student, frames)
    return {name: _best_range(values) for name, values in magnitudes.items()}


def pool_balances(ranges: Ranges) -> dict[str, float]:
    """The factor per block with a pooled shortcut that brings the pool to the range of the main path's map.

    It is between 1/16 and 16: beyond that one of the maps is blank on the training frames, but may not be on
    others.
    """
    pools = [name.removesuffix(".shortcut.0") for name in ranges if name.endswith(".shortcut.0")]
    ratios = {name: ranges[f"{name}.main.2"] / ranges[f"{name}.shortcut.0"] for name in pools}
    return {name: min(max(ratio, 1 / 16), 16.0) for name, ratio in ratios.items()}


def _best_range(values: Tensor) -> float:
    """The candidate with levels nearest to the values, by mean squared error."""
    peak = values.max().clamp_min(1e-6)  # a map that is always blank needs a range too: any value works
    errors = []
    for share in _SHARES_OF_PEAK:
        scale = peak * share / MAX_LEVEL
        rounded = (values / scale).round_().clamp_(max=MAX_LEVEL).mul_(scale)
        errors.append(rounded.sub_(values).square_().mean())
    return float(peak * _SHARES_OF_PEAK[int(torch.stack(errors).argmin())])


def _sample_magnitudes(student: WeldNet, frames: Tensor) -> dict[str, Tensor]:
    """For each map, a sample of its magnitudes in every frame, with their peaks, float32[n]."""
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
    """The modules with outputs that static int8 keeps as levels, by their names in the student."""
    maps: dict[str, nn.Module] = {"stem": student.stem}
    for i, block in enumerate(cast("list[WeldBlock]", student.blocks)):
        maps |= {f"blocks.{i}": block, f"blocks.{i}.main.2": block.main[2]}
        if not isinstance(block.shortcut, nn.Identity):
            shortcut = cast(nn.Sequential, block.shortcut)
            maps[f"blocks.{i}.shortcut.0"] = shortcut[0]
    return maps
