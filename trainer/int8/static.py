"""Static int8: the layers of :mod:`trainer.int8.linear` with uint8 maps between them, at calibrated scales.

What a level is worth is fixed when the artifact is made, so no layer looks for its input's peak, and every
map between two layers is a quarter of the float map's size. A frame brighter than those that the ranges were
calibrated on is clipped; that is what ``dynamic`` cannot suffer from, and why it is the default.

Levels are cut at 127, so that the next layer's sums fit in 16 bits on processors without VNNI.
"""

# no 'from __future__ import annotations' here: TorchScript reads the attributes' types as objects
import torch
from torch import Tensor, nn

from trainer.int8.folding import (
    Size,
    Worths,
    as_map,
    as_rows,
    blocks_of,
    down_layers,
    plain_layers,
    stem_conv,
)
from trainer.int8.linear import LEVELS, round_weight
from trainer.int8.ranges import Ranges, balances
from trainer.network.weldnet import WeldBlock, WeldNet


def cut(q: Tensor) -> Tensor:
    """Levels above 127 become 127, in place: oneDNN's own cut costs as much, and it has none behind a sum."""
    return q.clamp_(max=127)


class StaticStem(nn.Module):
    """Stem and max pool; see :class:`trainer.int8.dynamic.DynamicStem`."""

    def __init__(self, stem: nn.Sequential, size: Size, out: float) -> None:
        super().__init__()
        self.conv = stem_conv(stem, size, out)

    def forward(self, frames: Tensor) -> Tensor:
        """``uint8[N, 1, H, W]`` → ``uint8[N, h, w, C]`` of levels."""
        levels = self.conv.levels(frames)
        return as_rows(cut(torch.ops.quantized.max_pool2d(levels, [3, 3], [2, 2], [1, 1], [1, 1], False)))


class StaticBlock(nn.Module):
    """A WeldBlock whose shortcut is the identity."""

    def __init__(self, block: WeldBlock, size: Size, worths: Worths) -> None:
        super().__init__()
        self.spatial, self.pointwise = plain_layers(block, size, worths)
        self.worth = worths.x / worths.out  # of a level of the input, in those of the output

    def forward(self, x: Tensor) -> Tensor:
        """``uint8[N, h, w, C]``, which is overwritten → the same shape."""
        h = cut(self.spatial.levels(as_map(x)))
        return cut(self.pointwise.add_levels(as_rows(h), x, self.worth))


class StaticDownBlock(nn.Module):
    """A WeldBlock whose shortcut is an average pool and a 1×1 convolution; see :func:`down_layers`."""

    def __init__(self, block: WeldBlock, size: Size, balance: float, worths: Worths) -> None:
        super().__init__()
        self.spatial, self.pointwise = down_layers(block, size, balance, worths)

    def forward(self, x: Tensor) -> Tensor:
        """``uint8[N, h, w, C]`` → ``uint8[N, ⌈h/s⌉, ⌈w/s⌉, C·e]``."""
        h = cut(self.spatial.levels(as_map(x)))
        return cut(self.pointwise.levels(as_rows(h)))


class StaticWeldNet(nn.Module):
    """WeldNet with every convolution statically quantized.

    Frames share nothing but the call, whose overhead is a good part of a small layer's time: sums of integers
    do not depend on what stands beside them. The last layer has weights rounded like all others, but one row
    of features a frame, which an int8 call would take longer to begin than floats take to multiply.
    """

    def __init__(self, student: WeldNet, ranges: Ranges) -> None:
        super().__init__()
        self.at_once = 8  # frames: the daemon's default batch; more would only hold more memory
        worth = {name: peak / LEVELS for name, peak in ranges.items()}
        self.stem = StaticStem(student.stem, (student.config.height, student.config.width), worth["stem"])
        blocks: list[nn.Module] = []
        before = "stem"
        for name, block, size in blocks_of(student):
            worths = Worths(worth[before], worth[f"{name}.main.2"], worth[name])
            if isinstance(block.shortcut, nn.Identity):
                blocks.append(StaticBlock(block, size, worths))
            else:
                blocks.append(StaticDownBlock(block, size, balances(ranges)[name], worths))
            before = name
        self.blocks = nn.Sequential(*blocks)
        self.out = worth[before]
        weight, scale = round_weight(student.head.weight.detach())
        self.weight, self.bias = weight * scale[:, None], student.head.bias.detach()

    def forward(self, frames: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """As :meth:`trainer.int8.dynamic.DynamicWeldNet.forward`, for N frames; features are in levels."""
        levels: Tensor = self.blocks(self.stem(frames))
        features = levels.to(torch.float32)
        pooled = features.mean((1, 2)).mul_(self.out)  # of integers: floats sum them exactly, in any order
        logits: list[Tensor] = []
        for one in pooled.unbind():  # one by one, as no sum of other floats may depend on N
            logits.append(torch.addmv(self.bias, self.weight, one))
        return features, pooled, torch.stack(logits)
