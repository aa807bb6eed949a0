"""Static int8: the layers of :mod:`trainer.quantization` with uint8 maps between them, at calibrated scales.

What a level is worth is fixed when the artifact is made, so no layer looks for its input's peak, and every
map between two layers is a quarter of the float map's size. A frame brighter than those that the ranges were
calibrated on is clipped; that is what ``dynamic`` cannot suffer from, and why it is the default.

Levels are cut at 127, so that the next layer's sums fit in 16 bits on processors without VNNI.
"""

# no 'from __future__ import annotations' here: TorchScript reads the attributes' types as objects
import torch
from torch import Tensor, nn

from trainer.layers import Size, as_map, as_rows, blocks_of, down_layers, max_pool, plain_layers, stem_conv
from trainer.quantization import LEVELS, Int8Linear
from trainer.ranges import Ranges, balances
from trainer.weldnet import WeldBlock, WeldNet


def cut(q: Tensor) -> Tensor:
    """Levels above 127 become 127, in place.

    Behind a sum oneDNN's linear layer cannot cut by itself, and in the stem's convolution that costs more.
    """
    return q.clamp_(max=127)


class StaticStem(nn.Module):
    """Stem and max pool; see :class:`trainer.dynamic.DynamicStem`."""

    def __init__(self, stem: nn.Sequential, size: Size, out: float) -> None:
        super().__init__()
        self.conv = stem_conv(stem, size)
        self.out = out

    def forward(self, frames: Tensor) -> Tensor:
        """``uint8[N, 1, H, W]`` → ``uint8[N, C, h, w]`` of levels."""
        pixels = (frames >> 1).contiguous(memory_format=torch.channels_last)
        return cut(max_pool(self.conv.levels(pixels, 2.0 / 255.0, self.out, False)))


class StaticBlock(nn.Module):
    """A WeldBlock whose shortcut is the identity.

    ``x``, ``h`` and ``out`` are what a level of the input, of the map between and of the output is worth.
    """

    def __init__(self, block: WeldBlock, size: Size, *, x: float, h: float, out: float) -> None:
        super().__init__()
        self.spatial, self.pointwise = plain_layers(block, size)
        self.x, self.h, self.out = x, h, out

    def forward(self, x: Tensor) -> Tensor:
        """``uint8[N, C, h, w]``, which is overwritten → the same shape."""
        h = self.spatial.levels(x, self.x, self.h, True)
        y = self.pointwise.add_relu_levels(as_rows(h), self.h, as_rows(x), worth=self.x, out=self.out)
        return as_map(cut(y))


class StaticDownBlock(nn.Module):
    """A WeldBlock whose shortcut is an average pool and a 1×1 convolution; see :func:`down_layers`."""

    def __init__(
        self, block: WeldBlock, size: Size, balance: float, *, x: float, h: float, out: float
    ) -> None:
        super().__init__()
        self.spatial, self.pointwise = down_layers(block, size, balance)
        self.x, self.h, self.out = x, h, out

    def forward(self, x: Tensor) -> Tensor:
        """``uint8[N, C, h, w]`` → ``uint8[N, C·e, ⌈h/s⌉, ⌈w/s⌉]``."""
        h = self.spatial.levels(x, self.x, self.h, True)
        return as_map(self.pointwise.relu_levels(as_rows(h), self.h, self.out))


class StaticWeldNet(nn.Module):
    """WeldNet with every layer statically quantized.

    Frames share nothing but the call, whose overhead is a good part of a small layer's time: sums of integers
    do not depend on what stands beside them.
    """

    def __init__(self, student: WeldNet, ranges: Ranges) -> None:
        super().__init__()
        self.at_once = 8  # frames: the daemon's default batch; more would only hold more memory
        worth = {name: peak / LEVELS for name, peak in ranges.items()}
        self.stem = StaticStem(student.stem, (student.config.height, student.config.width), worth["stem"])
        blocks: list[nn.Module] = []
        before = "stem"
        for name, block, size in blocks_of(student):
            worths = {"x": worth[before], "h": worth[f"{name}.main.2"], "out": worth[name]}
            if isinstance(block.shortcut, nn.Identity):
                blocks.append(StaticBlock(block, size, **worths))
            else:
                blocks.append(StaticDownBlock(block, size, balances(ranges)[name], **worths))
            before = name
        self.blocks = nn.Sequential(*blocks)
        self.out = worth[before]
        self.head = Int8Linear(student.head.weight.detach(), student.head.bias.detach())

    def forward(self, frames: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """As :meth:`trainer.dynamic.DynamicWeldNet.forward`, for N frames."""
        levels: Tensor = self.blocks(self.stem(frames))
        pooled = levels.to(torch.float32).mean((2, 3)) * self.out
        evidence = self.head(as_rows(levels), self.out)
        logits = [each.mean((0, 1)) for each in evidence.unbind()]  # one by one, as no sum may depend on N
        return evidence, pooled, torch.stack(logits)
