"""Dynamic int8: the scale of a map is its own peak in this frame over 127 (:func:`quantize_by_peak`).

So nothing is calibrated, and nothing is clipped. Networks here take one frame: a scale over a batch would
make a frame's result depend on its neighbours. Maps between layers are floats, because the peak is known only
when the whole map is.
"""

# No 'from __future__ import annotations' here: TorchScript reads the attributes' types as objects
import torch
from torch import Tensor, nn

from trainer.int8.folding import (
    Size,
    as_map,
    as_rows,
    blocks_with_sizes,
    down_layers,
    max_pool,
    plain_layers,
    stem_conv,
)
from trainer.int8.linear import Int8Linear, reinterpret
from trainer.network.weldnet import WeldBlock, WeldNet


def quantize_by_peak(maps: list[Tensor], overwrite: bool) -> tuple[Tensor, float]:
    """Quantize float maps ≥ 0 with one scale, their common peak over 127.

    It adds one half and cuts to int8. That is vectorized, while float→uint8 is not, and up to 127 both give
    the same bits. ``amax`` reads in place; ``max`` and ``aminmax`` copy.

    Args:
        maps: ``float32[1, C, h, w]`` each, all of one size.
        overwrite: the maps' memory may be used.

    Returns:
        Levels from 0 to 127, ``uint8[1, ΣC, h, w]``, and their scale.
    """
    peak = 1e-30  # a blank map needs a scale too: any value works
    for x in maps:
        peak = max(peak, float(torch.amax(x)))
    levels: list[Tensor] = []
    for x in maps:
        y = x if overwrite else torch.empty_like(x)
        torch.add(torch.full([], 0.5), x, alpha=127.0 / peak, out=y)
        levels.append(y.to(torch.int8))
    joined = levels[0] if len(levels) == 1 else torch.cat(levels, 1)
    return reinterpret(joined, torch.uint8), peak / 127.0


class DynamicStem(nn.Module):
    """Stem and max pool.

    The stem's map is the network's largest, 6 MB as floats. If the processor can, it is written and pooled as
    bfloat16, and only the pooled map becomes float.
    """

    def __init__(self, stem: nn.Sequential, size: Size) -> None:
        super().__init__()
        self.conv = stem_conv(stem, size)

    def forward(self, frame: Tensor) -> Tensor:
        """``uint8[1, 1, H, W]`` → ``float32[1, C, h, w]``."""
        if self.conv.has_bf16:
            # After a ReLU, bfloat16 and int16 have the same order, and integers are compared faster.
            bits = reinterpret(self.conv.to_bfloat16(frame, 1.0), torch.int16)
            return reinterpret(max_pool(bits), torch.bfloat16).to(torch.float32)
        return max_pool(self.conv(frame, 1.0)[0])


class DynamicBlock(nn.Module):
    """A WeldBlock with the identity as its shortcut."""

    def __init__(self, block: WeldBlock, size: Size) -> None:
        super().__init__()
        self.spatial, self.pointwise = plain_layers(block, size)

    def forward(self, x: Tensor) -> Tensor:
        """``float32[1, C, h, w]``, which is overwritten → ``float32[1, C, h, w]``."""
        levels, scale = quantize_by_peak([x], False)
        hidden_levels, hidden_scale = quantize_by_peak(self.spatial(levels, scale), True)
        return as_map(self.pointwise.add_relu(as_rows(hidden_levels), hidden_scale, as_rows(x)))


class DynamicDownBlock(nn.Module):
    """A WeldBlock with an average pool and a 1×1 convolution as its shortcut; see :func:`down_layers`."""

    def __init__(self, block: WeldBlock, size: Size, balance: float) -> None:
        super().__init__()
        self.spatial, self.pointwise = down_layers(block, size, balance)

    def forward(self, x: Tensor) -> Tensor:
        """``float32[1, C, h, w]``, which is overwritten → ``float32[1, C·e, ⌈h/s⌉, ⌈w/s⌉]``."""
        levels, scale = quantize_by_peak([x], True)
        hidden_levels, hidden_scale = quantize_by_peak(self.spatial(levels, scale), True)
        return as_map(self.pointwise.relu(as_rows(hidden_levels), hidden_scale))


class DynamicWeldNet(nn.Module):
    """WeldNet with dynamic int8 in every convolution and in the linear layer, for one frame."""

    def __init__(self, student: WeldNet, balances: dict[str, float] | None = None) -> None:
        super().__init__()
        self.at_once = 1  # frame per call: its own peaks give its scales
        self.stem = DynamicStem(student.stem, (student.config.height, student.config.width))
        self.blocks = nn.Sequential(
            *(
                DynamicBlock(block, size)
                if isinstance(block.shortcut, nn.Identity)
                else DynamicDownBlock(block, size, (balances or {}).get(name, 1.0))
                for name, block, size in blocks_with_sizes(student)
            )
        )
        self.head = Int8Linear(student.head.weight.detach(), student.head.bias.detach())

    def forward(self, frame: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """``uint8[1, 1, H, W]`` → features ``float32[1, h, w, F]``, their mean ``[1, F]``, logits ``[1, C]``.

        The last layer runs over each pixel, and the mean of its outputs is the logits. The layer is linear,
        so that is the same, and rounding errors average out.
        """
        features: Tensor = self.blocks(self.stem(frame))
        levels, scale = quantize_by_peak([features], False)
        logits = self.head(as_rows(levels), scale).mean((1, 2))
        return as_rows(features), features.mean((2, 3)), logits
