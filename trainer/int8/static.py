"""Static int8: uint8 maps between all layers, at scales that are calibrated when the artifact is made.

So no layer searches its input for a peak, and every map between two layers takes a quarter of the memory of a
float map. A frame that is brighter than the calibration frames is clipped. ``dynamic`` clips nothing, and is
the default for that reason.

Levels above 127 become 127, so that the next layer's sums fit in 16 bits on processors without VNNI.
"""

# No 'from __future__ import annotations' here: TorchScript reads the attributes' types as objects
import torch
from torch import Tensor, nn

from trainer.int8.folding import (
    Scales,
    Size,
    as_map,
    as_rows,
    blocks_with_sizes,
    down_layers,
    plain_layers,
    stem_conv,
)
from trainer.int8.linear import MAX_LEVEL, round_weight
from trainer.int8.ranges import Ranges, pool_balances
from trainer.network.weldnet import WeldBlock, WeldNet


def clamp_levels(levels: Tensor) -> Tensor:
    """Cut levels above 127 to 127, in place; oneDNN's own cut costs as much, and is missing after a sum."""
    return levels.clamp_(max=127)


class StaticStem(nn.Module):
    """Stem and max pool; see :class:`trainer.int8.dynamic.DynamicStem`."""

    def __init__(self, stem: nn.Sequential, size: Size, output_scale: float) -> None:
        super().__init__()
        self.conv = stem_conv(stem, size, output_scale)

    def forward(self, frames: Tensor) -> Tensor:
        """``uint8[N, 1, H, W]`` → levels ``uint8[N, h, w, C]``."""
        levels = self.conv.to_levels(frames)
        return as_rows(
            clamp_levels(torch.ops.quantized.max_pool2d(levels, [3, 3], [2, 2], [1, 1], [1, 1], False))
        )


class StaticBlock(nn.Module):
    """A WeldBlock with the identity as its shortcut."""

    def __init__(self, block: WeldBlock, size: Size, scales: Scales) -> None:
        super().__init__()
        self.spatial, self.pointwise = plain_layers(block, size, scales)
        self.worth = scales.input / scales.output  # of the residual, in levels of the output

    def forward(self, x: Tensor) -> Tensor:
        """Levels ``uint8[N, h, w, C]``, which are overwritten → levels ``uint8[N, h, w, C]``."""
        hidden = clamp_levels(self.spatial.to_levels(as_map(x)))
        return clamp_levels(self.pointwise.add_to_levels(as_rows(hidden), x, self.worth))


class StaticDownBlock(nn.Module):
    """A WeldBlock with an average pool and a 1×1 convolution as its shortcut; see :func:`down_layers`."""

    def __init__(self, block: WeldBlock, size: Size, balance: float, scales: Scales) -> None:
        super().__init__()
        self.spatial, self.pointwise = down_layers(block, size, balance, scales)

    def forward(self, x: Tensor) -> Tensor:
        """Levels ``uint8[N, h, w, C]`` → levels ``uint8[N, ⌈h/s⌉, ⌈w/s⌉, C·e]``."""
        hidden = clamp_levels(self.spatial.to_levels(as_map(x)))
        return clamp_levels(self.pointwise.to_levels(as_rows(hidden)))


class StaticWeldNet(nn.Module):
    """WeldNet with static int8 in every convolution.

    Several frames share a call, because its overhead is a large part of a small layer's time. Integer sums do
    not depend on the neighbours. The last layer has rounded weights like all others, but multiplies floats:
    it has one row of features per frame, and to start an int8 call would take longer.
    """

    def __init__(self, student: WeldNet, ranges: Ranges) -> None:
        super().__init__()
        self.at_once = 8  # frames per call: the daemon's default batch; more would only take more memory
        scale = {name: reach / MAX_LEVEL for name, reach in ranges.items()}
        self.stem = StaticStem(student.stem, (student.config.height, student.config.width), scale["stem"])
        blocks: list[nn.Module] = []
        balances, previous = pool_balances(ranges), "stem"
        for name, block, size in blocks_with_sizes(student):
            scales = Scales(scale[previous], scale[f"{name}.main.2"], scale[name])
            if isinstance(block.shortcut, nn.Identity):
                blocks.append(StaticBlock(block, size, scales))
            else:
                blocks.append(StaticDownBlock(block, size, balances[name], scales))
            previous = name
        self.blocks = nn.Sequential(*blocks)
        self.out = scale[previous]  # of the last map
        weight, weight_scale = round_weight(student.head.weight.detach())
        self.weight, self.bias = weight * weight_scale[:, None], student.head.bias.detach()

    def forward(self, frames: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """As :meth:`trainer.int8.dynamic.DynamicWeldNet.forward`, for N frames; features are levels."""
        levels: Tensor = self.blocks(self.stem(frames))
        features = levels.to(torch.float32)
        pooled = features.mean((1, 2)).mul_(self.out)  # of integers: floats add them exactly, in any order
        logits: list[Tensor] = []
        for frame in pooled.unbind():  # one by one: no sum of floats may depend on N
            logits.append(torch.addmv(self.bias, self.weight, frame))
        return features, pooled, torch.stack(logits)
