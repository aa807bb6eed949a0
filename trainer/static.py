"""Static int8: the layers of :mod:`trainer.quantization` with uint8 maps between them, at calibrated scales.

What a level is worth is fixed when the artifact is made, so no layer looks for its input's peak, and every
map between two layers is a quarter of the float map's size. A frame brighter than those that the ranges were
calibrated on is clipped; that is what ``dynamic`` cannot suffer from, and why it is the default.

Levels are cut at 127, in place, so that the next layer's sums fit in 16 bits on processors without VNNI. The
shortcut's result, which has signs and is only summed, has 256 levels about 128.
"""

# no 'from __future__ import annotations' here: TorchScript reads the attributes' types as objects
from typing import cast

import torch
from torch import Tensor, nn

from trainer.quantization import LEVELS, Int8Conv2d, Int8Linear, as_map, as_rows, fold, max_pool, quantize
from trainer.ranges import Ranges
from trainer.weldnet import WeldBlock, WeldNet


def cut(q: Tensor) -> Tensor:
    """Levels above 127 become 127, in place."""
    return q.clamp_(max=127)


class StaticStem(nn.Module):
    """Stem and max pool; see :class:`trainer.quantization.Int8Stem`."""

    def __init__(self, stem: nn.Sequential, out: float) -> None:
        super().__init__()
        weight, bias = fold(stem[0], stem[1])
        self.conv = Int8Conv2d(weight, bias + weight.sum((1, 2, 3)) * 0.5 / 255, stride=2, padding=3)
        self.out = out

    def forward(self, frames: Tensor) -> Tensor:
        """``uint8[N, 1, H, W]`` → ``uint8[N, C, h, w]`` of levels."""
        pixels = (frames >> 1).contiguous(memory_format=torch.channels_last)
        return cut(max_pool(self.conv.levels(pixels, 2.0 / 255.0, self.out)))


class StaticBlock(nn.Module):
    """A WeldBlock whose shortcut is the identity.

    Args:
        block: with its batch norms.
        name: of the block in the student.
        before: of the module before it.
        worth: what a level of each module's output is worth.
    """

    def __init__(self, block: WeldBlock, name: str, before: str, worth: dict[str, float]) -> None:
        super().__init__()
        conv = cast(nn.Conv2d, block.main[0])
        self.spatial = Int8Conv2d(*fold(conv, block.main[1]), stride=conv.stride[0], padding=1)
        self.pointwise = Int8Linear(*fold(block.main[3], block.main[4]))
        self.x, self.h, self.out = worth[before], worth[f"{name}.main.2"], worth[name]

    def forward(self, x: Tensor) -> Tensor:
        """``uint8[N, C, h, w]``, which is overwritten → the same shape."""
        h = cut(self.spatial.levels(x, self.x, self.h))
        y = self.pointwise.add_relu_levels(as_rows(h), self.h, as_rows(x), worth=self.x, zero=0, out=self.out)
        return as_map(cut(y), h.size(2), h.size(3))


class StaticDownBlock(nn.Module):
    """A WeldBlock whose shortcut is an average pool, here a depthwise convolution, and a 1×1 convolution.

    Arguments as those of :class:`StaticBlock`.
    """

    def __init__(self, block: WeldBlock, name: str, before: str, worth: dict[str, float]) -> None:
        super().__init__()
        conv, side = cast(nn.Conv2d, block.main[0]), cast(nn.Sequential, block.shortcut)
        self.spatial = Int8Conv2d(*fold(conv, block.main[1]), stride=conv.stride[0], padding=1)
        self.pointwise = Int8Linear(*fold(block.main[3], block.main[4]))
        channels = conv.in_channels
        mean = torch.full((channels, 1, 3, 3), 1 / 9)
        self.pool = Int8Conv2d(mean, torch.zeros(channels), conv.stride[0], 1, groups=channels)
        self.side = Int8Linear(*fold(side[1], side[2]))
        self.x, self.h, self.out = worth[before], worth[f"{name}.main.2"], worth[name]
        self.pooled, self.shortcut = worth[f"{name}.shortcut.0"], worth[f"{name}.shortcut"]

    def forward(self, x: Tensor) -> Tensor:
        """``uint8[N, C, h, w]`` → ``uint8[N, C·e, ⌈h/s⌉, ⌈w/s⌉]``."""
        pooled = cut(self.pool.levels(x, self.x, self.pooled))
        residual = self.side.levels(as_rows(pooled), self.pooled, self.shortcut)
        h = cut(self.spatial.levels(x, self.x, self.h))
        y = self.pointwise.add_relu_levels(
            as_rows(h), self.h, residual, worth=self.shortcut, zero=128, out=self.out
        )
        return as_map(cut(y), h.size(2), h.size(3))


class StaticWeldNet(nn.Module):
    """WeldNet with every convolution statically quantized; the head dynamically, frame by frame.

    Frames share nothing but the call, whose overhead is a good part of a small layer's time: sums of integers
    do not depend on what stands beside them.
    """

    def __init__(self, student: WeldNet, ranges: Ranges) -> None:
        super().__init__()
        self.at_once = 8  # frames: the daemon's default batch; more would only hold more memory
        worth = {name: peak / LEVELS for name, peak in ranges.items()}
        self.stem = StaticStem(student.stem, worth["stem"])
        blocks: list[nn.Module] = []
        before = "stem"
        for i, block in enumerate(cast("list[WeldBlock]", student.blocks)):
            kind = StaticBlock if isinstance(block.shortcut, nn.Identity) else StaticDownBlock
            blocks.append(kind(block, f"blocks.{i}", before, worth))
            before = f"blocks.{i}"
        self.blocks = nn.Sequential(*blocks)
        self.out = worth[before]
        self.head = Int8Linear(student.head.weight.detach(), student.head.bias.detach())

    def forward(self, frames: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """``uint8[N, 1, H, W]`` → features ``float32[N, F, h, w]``, pooled ``[N, F]``, logits ``[N, C]``."""
        levels: Tensor = self.blocks(self.stem(frames))
        features = levels.to(torch.float32) * self.out
        pooled = features.mean((2, 3))
        logits: list[Tensor] = []
        for i in range(pooled.size(0)):
            q, worth = quantize(pooled[i : i + 1], False)
            logits.append(self.head(q, worth))
        return features, pooled, torch.cat(logits)
