"""WeldNet as int8 layers: batch norms folded into convolutions, shortcuts merged, maps as rows.

Maps are ``[N, C, h, w]`` in channels-last memory. There a 1×1 convolution is a linear layer over pixels.
oneDNN runs a linear layer with less overhead, and adds to the residual in place.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from trainer.int8.convolution import Int8Conv2d
from trainer.int8.linear import Int8Linear
from trainer.network.weldnet import WeldBlock, WeldNet

Size = tuple[int, int]  # height and width of a map, pixels


class Scales(NamedTuple):
    """The scales of a block's input, of the map between its layers, and of its output."""

    input: float
    hidden: float
    output: float


NO_SCALES = Scales(1.0, 1.0, 1.0)  # for layers that take and give floats


def fold_norm(conv: nn.Module, norm: nn.Module) -> tuple[Tensor, Tensor]:
    """Weight and bias of the convolution that equals ``norm(conv(x))`` in evaluation mode."""
    conv, norm = cast(nn.Conv2d, conv), cast(nn.BatchNorm2d, norm)
    factor = norm_factor(norm)
    bias = norm.bias.detach() - cast(Tensor, norm.running_mean) * factor
    return conv.weight.detach() * factor.view(-1, 1, 1, 1), bias


def norm_factor(norm: nn.Module) -> Tensor:
    """The factor of a batch norm in evaluation mode for each channel, ``float32[C]``."""
    norm = cast(nn.BatchNorm2d, norm)
    return (norm.weight / torch.sqrt(cast(Tensor, norm.running_var) + norm.eps)).detach()


def blocks_with_sizes(student: WeldNet) -> Iterator[tuple[str, WeldBlock, Size]]:
    """Each block with its name in the student and the size of its input."""
    size = _halved(_halved((student.config.height, student.config.width)))
    for i, block in enumerate(cast("list[WeldBlock]", student.blocks)):
        yield f"blocks.{i}", block, size
        if cast(nn.Conv2d, block.main[0]).stride[0] == 2:
            size = _halved(size)


def _halved(size: Size) -> Size:
    """The size after a stride of 2."""
    return (size[0] + 1) // 2, (size[1] + 1) // 2


def stem_conv(stem: nn.Sequential, size: Size, output_scale: float = 1.0) -> Int8Conv2d:
    """The stem's convolution, which takes pixels; ``output_scale`` is the scale of its map."""
    weight, bias = fold_norm(stem[0], stem[1])
    return Int8Conv2d(
        weight / (255 * output_scale), bias / output_scale, stride=2, padding=3, size=size, pixels=True
    )


def plain_layers(block: WeldBlock, size: Size, scales: Scales = NO_SCALES) -> tuple[Int8Conv2d, Int8Linear]:
    """Spatial and pointwise convolution of a block with the identity as its shortcut."""
    return _spatial(block, size, scales), _pointwise(*fold_norm(block.main[3], block.main[4]), scales)


def down_layers(
    block: WeldBlock, size: Size, balance: float, scales: Scales = NO_SCALES
) -> tuple[Int8Conv2d, Int8Linear]:
    """The two layers of a block with a pooled shortcut.

    The sum of two 1×1 convolutions is one convolution over the channels of both inputs. So the pool is next
    to the channels of the spatial convolution. Neither is negative, so one ReLU serves both. Both share a
    scale: ``balance`` brings the pool to the range of the other channels, and the weights after it divide by
    it.
    """
    shortcut = cast(nn.Sequential, block.shortcut)
    main, main_bias = fold_norm(block.main[3], block.main[4])
    side, side_bias = fold_norm(shortcut[1], shortcut[2])
    merged = torch.cat([main, side / balance], dim=1)
    return _spatial(block, size, scales, balance), _pointwise(merged, main_bias + side_bias, scales)


def _spatial(block: WeldBlock, size: Size, scales: Scales, balance: float = 0.0) -> Int8Conv2d:
    weight, bias = fold_norm(block.main[0], block.main[1])
    stride, gain = cast(nn.Conv2d, block.main[0]).stride[0], scales.input / scales.hidden
    return Int8Conv2d(weight * gain, bias / scales.hidden, stride, 1, size=size, pool=balance * gain)


def _pointwise(weight: Tensor, bias: Tensor, scales: Scales) -> Int8Linear:
    return Int8Linear(weight * (scales.hidden / scales.output), bias / scales.output)


def as_rows(x: Tensor) -> Tensor:
    """View channels-last ``[N, C, h, w]`` as one row per pixel, ``[N, h, w, C]``."""
    return x.permute(0, 2, 3, 1)


def as_map(rows: Tensor) -> Tensor:
    """View one row per pixel, ``[N, h, w, C]``, as channels-last ``[N, C, h, w]``."""
    return rows.permute(0, 3, 1, 2)


def max_pool(x: Tensor) -> Tensor:
    """3×3 max pool, stride 2, padding 1, of a map after a ReLU, of any type.

    It takes rows and then columns, both vectorized. torch's own pool also records the place of each maximum,
    and refuses integers that are too small for those places.
    """
    return _halve(_halve(x, 2), 3)


def _halve(x: Tensor, dim: int) -> Tensor:
    """The maximum of each even place along ``dim`` and its neighbours; the first and last may have one."""
    even, odd = torch.ops.aten.slice(x, dim, 0, None, 2), torch.ops.aten.slice(x, dim, 1, None, 2)
    if even.size(dim) == odd.size(dim):
        y = torch.maximum(even, odd)
    else:
        y = even.contiguous(memory_format=torch.channels_last)
        before = y.narrow(dim, 0, odd.size(dim))
        torch.maximum(before, odd, out=before)
    behind = y.narrow(dim, 1, y.size(dim) - 1)
    torch.maximum(behind, odd.narrow(dim, 0, y.size(dim) - 1), out=behind)
    return y
