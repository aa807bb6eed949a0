"""WeldNet for a CPU station: batch norm folded, dynamic int8 through oneDNN, ready to be scripted.

Why by hand: PyTorch's own dynamic convolution loses every negative output (pytorch#70480), and its
``quantize_dynamic`` leaves convolutions alone. ``onednn::qconv2d_pointwise`` and
``onednn::qlinear_pointwise`` compute rightly, take the activation's scale at run time and fuse the bias,
the ReLU and the residual sum.

Numbers: weights are int8 with one symmetric scale for each output channel. Activations are never
negative (an image, or behind a ReLU), so their zero point is 0 and their scale is the frame's own peak
over 127. 127 levels and not 255: without VNNI, oneDNN adds pairs of u8×s8 products in 16 bits, which
2·127·127 fits and 2·255·127 does not.

Networks here take one frame: a scale over a batch would make a frame's result depend on its neighbours.
Activations are ``[1, C, h, w]`` in channels-last memory, where a 1×1 convolution is a linear layer over
pixels; as such oneDNN runs it with less overhead and sums into the residual in place.
"""

# no 'from __future__ import annotations' here: TorchScript reads the attributes' types as objects
from typing import cast

import torch
from torch import Tensor, nn

from trainer.weldnet import WeldBlock, WeldNet

LEVELS = 127  # largest level of an activation, and of a weight's magnitude


def quantize(x: Tensor, spend: bool) -> tuple[Tensor, float]:
    """Float ``x`` ≥ 0 as uint8 levels 0..127 and what one level is worth; ``spend``: may overwrite ``x``.

    Rounds by adding one half before the cut to int8. float→int8→uint8 is vectorized where float→uint8 is
    not; ``amax`` reads in place where ``max`` and ``aminmax`` copy.
    """
    scale = max(float(torch.amax(x)), 1e-30) / 127.0  # a blank map needs some scale: any will do
    levels = x if spend else torch.empty_like(x)
    torch.add(torch.full([], 0.5), x, alpha=1.0 / scale, out=levels)
    return levels.to(torch.int8).to(torch.uint8), scale


def round_weight(weight: Tensor) -> tuple[Tensor, Tensor]:
    """``(int8 weight, float32 scale[out])``: symmetric, one scale for each output channel (dimension 0)."""
    scale = weight.flatten(1).abs().amax(1).clamp_min(1e-30) / LEVELS
    return torch.round(weight / scale.view(-1, *[1] * (weight.dim() - 1))).to(torch.int8), scale


def fold(conv: nn.Module, norm: nn.Module) -> tuple[Tensor, Tensor]:
    """Weight and bias of the one convolution that equals ``norm(conv(x))`` in evaluation mode."""
    conv, norm = cast(nn.Conv2d, conv), cast(nn.BatchNorm2d, norm)
    mean, variance = cast(Tensor, norm.running_mean), cast(Tensor, norm.running_var)
    factor = (norm.weight / torch.sqrt(variance + norm.eps)).detach()
    return conv.weight.detach() * factor.view(-1, 1, 1, 1), norm.bias.detach() - mean * factor


class Int8Conv2d(nn.Module):
    """Convolution and ReLU with int8 weights.

    Packed weights do not survive ``torch.jit.save``: the state carries the plain ones and packs on load,
    for the processor that loads.
    """

    zero: Tensor
    packed: Tensor
    has_bf16: (
        bool  # whether this processor's kernels write it: with AVX2 alone they take twenty times as long
    )

    def __init__(self, weight: Tensor, bias: Tensor, stride: int, padding: int, groups: int = 1) -> None:
        super().__init__()
        self.weight, self.scale = round_weight(weight)
        self.bias = bias
        self.stride, self.padding, self.groups = [stride, stride], [padding, padding], groups
        self.pack()

    def pack(self) -> None:
        """Lay the weights out as this processor's kernels want them."""
        self.has_bf16 = torch.ops.mkldnn._is_mkldnn_bf16_supported()
        self.zero = torch.zeros_like(self.scale, dtype=torch.int64)
        self.packed = torch.ops.onednn.qconv_prepack(
            self.weight, self.scale, 1.0, 0, self.stride, self.padding, [1, 1], self.groups, None
        )

    @torch.jit.export
    def __getstate__(self) -> tuple[Tensor, Tensor, Tensor, list[int], list[int], int, bool]:
        return self.weight, self.scale, self.bias, self.stride, self.padding, self.groups, self.training

    @torch.jit.export
    def __setstate__(self, state: tuple[Tensor, Tensor, Tensor, list[int], list[int], int, bool]) -> None:
        self.weight, self.scale, self.bias, self.stride, self.padding, self.groups, self.training = state
        self.pack()

    def forward(self, q: Tensor, scale: float) -> Tensor:
        """``uint8[1, C, h, w]`` of levels, each worth ``scale`` → ``float32[1, C', h', w']``."""
        y: Tensor = torch.ops.onednn.qconv2d_pointwise(
            q, scale, 0, self.packed, self.scale, self.zero, self.bias, self.stride, self.padding, [1, 1],
            self.groups, 1.0, 0, torch.float32, "relu", [], "",
        )  # fmt: skip
        return y

    @torch.jit.export
    def halves(self, q: Tensor, scale: float) -> Tensor:
        """The same as ``bfloat16[1, C', h', w']``: half the memory, and 8 bits like the levels to come."""
        y: Tensor = torch.ops.onednn.qconv2d_pointwise(
            q, scale, 0, self.packed, self.scale, self.zero, self.bias, self.stride, self.padding, [1, 1],
            self.groups, 1.0, 0, torch.bfloat16, "relu", [], "",
        )  # fmt: skip
        return y

    @torch.jit.export
    def levels(self, q: Tensor, scale: float, out: float) -> Tensor:
        """The same as ``uint8[1, C', h', w']`` of levels 0..255, each worth ``out``."""
        y: Tensor = torch.ops.onednn.qconv2d_pointwise(
            q, scale, 0, self.packed, self.scale, self.zero, self.bias, self.stride, self.padding, [1, 1],
            self.groups, out, 0, torch.uint8, "relu", [], "",
        )  # fmt: skip
        return y


class Int8Linear(nn.Module):
    """Linear layer over rows with int8 weights, packed on load as :class:`Int8Conv2d` is."""

    zero: Tensor
    packed: Tensor

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.weight, self.scale = round_weight(weight.flatten(1))
        self.bias = bias
        self.pack()

    def pack(self) -> None:
        """Lay the weights out as this processor's kernels want them."""
        self.zero = torch.zeros_like(self.scale, dtype=torch.int64)
        self.packed = torch.ops.onednn.qlinear_prepack(self.weight, None)

    @torch.jit.export
    def __getstate__(self) -> tuple[Tensor, Tensor, Tensor, bool]:
        return self.weight, self.scale, self.bias, self.training

    @torch.jit.export
    def __setstate__(self, state: tuple[Tensor, Tensor, Tensor, bool]) -> None:
        self.weight, self.scale, self.bias, self.training = state
        self.pack()

    def forward(self, q: Tensor, scale: float) -> Tensor:
        """``uint8[rows, C]`` of levels, each worth ``scale`` → ``float32[rows, C']``."""
        y: Tensor = torch.ops.onednn.qlinear_pointwise(
            q, scale, 0, self.packed, self.scale, self.zero, self.bias, 1.0, 0, torch.float32, "none", [], ""
        )
        return y

    @torch.jit.export
    def add_relu(self, q: Tensor, scale: float, residual: Tensor) -> Tensor:
        """ReLU of :meth:`forward` plus ``float32[rows, C']``, which is overwritten."""
        y: Tensor = torch.ops.onednn.qlinear_pointwise(
            q, scale, 0, self.packed, self.scale, self.zero, residual, self.bias, 1.0, 0, torch.float32,
            1.0, 0, "sum", 1.0, "relu", [], "",
        )  # fmt: skip
        return y

    @torch.jit.export
    def levels(self, q: Tensor, scale: float, out: float) -> Tensor:
        """:meth:`forward` as ``uint8[rows, C']`` of levels, each worth ``out``; 128 stands for zero."""
        y: Tensor = torch.ops.onednn.qlinear_pointwise(
            q, scale, 0, self.packed, self.scale, self.zero, self.bias, out, 128, torch.uint8, "none", [], ""
        )
        return y

    @torch.jit.export
    def add_relu_levels(
        self, q: Tensor, scale: float, residual: Tensor, *, worth: float, zero: int, out: float
    ) -> Tensor:
        """:meth:`add_relu` as levels worth ``out``; the residual's count from ``zero``, each ``worth``."""
        y: Tensor = torch.ops.onednn.qlinear_pointwise(
            q, scale, 0, self.packed, self.scale, self.zero, residual, self.bias, out, 0, torch.uint8,
            worth, zero, "sum", 1.0, "relu", [], "",
        )  # fmt: skip
        return y


def as_rows(x: Tensor) -> Tensor:
    """Channels-last ``[N, C, h, w]`` seen as one row for each pixel, ``[N·h·w, C]``."""
    return x.permute(0, 2, 3, 1).reshape(-1, x.size(1))


def as_map(rows: Tensor, height: int, width: int) -> Tensor:
    """One row for each pixel seen as channels-last ``[N, C, h, w]``."""
    return rows.view(-1, height, width, rows.size(1)).permute(0, 3, 1, 2)


def max_pool(x: Tensor) -> Tensor:
    """3×3 max pool, stride 2, padding 1, of what is behind a ReLU.

    Rows and then columns, each one vectorized: torch's own also tracks where each maximum was.
    """
    if x.size(2) % 2 or x.size(3) % 2:
        return torch.max_pool2d(x, 3, 2, 1)
    rows = torch.maximum(x[:, :, 0::2], x[:, :, 1::2])
    torch.maximum(rows[:, :, 1:], x[:, :, 1:-1:2], out=rows[:, :, 1:])
    y = torch.maximum(rows[:, :, :, 0::2], rows[:, :, :, 1::2])
    torch.maximum(y[:, :, :, 1:], rows[:, :, :, 1:-1:2], out=y[:, :, :, 1:])
    return y


def as_bits(x: Tensor) -> Tensor:
    """``bfloat16`` seen as ``int16``: behind a ReLU both have one order, and integers are compared faster.

    By ``set_``, since TorchScript has no ``view(dtype)``; the memory is shared.
    """
    bits: Tensor = torch.ops.aten.set_(torch.empty([0], dtype=torch.int16), x)
    return bits


def as_bf16(bits: Tensor) -> Tensor:
    """What :func:`as_bits` gave, seen as ``bfloat16`` again."""
    x: Tensor = torch.ops.aten.set_(torch.empty([0], dtype=torch.bfloat16), bits)
    return x


class Int8Stem(nn.Module):
    """Stem and max pool. Pixels are halved to 127 levels; the mean of the lost bit goes into the bias.

    Its map is the network's largest, 6 MB as float: where the processor can, it is written and pooled as
    bfloat16, and only what is left of it becomes float.
    """

    def __init__(self, stem: nn.Sequential) -> None:
        super().__init__()
        weight, bias = fold(stem[0], stem[1])
        self.conv = Int8Conv2d(weight, bias + weight.sum((1, 2, 3)) * 0.5 / 255, stride=2, padding=3)

    def forward(self, frame: Tensor) -> Tensor:
        """``uint8[1, 1, H, W]`` → ``float32[1, C, h, w]``."""
        pixels = (frame >> 1).contiguous(memory_format=torch.channels_last)
        if self.conv.has_bf16 and (frame.size(2) + 1) // 2 % 2 == 0 and (frame.size(3) + 1) // 2 % 2 == 0:
            return as_bf16(max_pool(as_bits(self.conv.halves(pixels, 2.0 / 255.0)))).to(torch.float32)
        return max_pool(self.conv(pixels, 2.0 / 255.0))


class Int8Block(nn.Module):
    """A WeldBlock whose shortcut is the identity."""

    def __init__(self, block: WeldBlock) -> None:
        super().__init__()
        conv = cast(nn.Conv2d, block.main[0])
        self.spatial = Int8Conv2d(*fold(conv, block.main[1]), stride=conv.stride[0], padding=1)
        self.pointwise = Int8Linear(*fold(block.main[3], block.main[4]))

    def forward(self, x: Tensor) -> Tensor:
        """``float32[1, C, h, w]``, which is overwritten → the same shape."""
        q, worth = quantize(x, False)
        h = self.spatial(q, worth)
        hq, h_worth = quantize(h, True)
        return as_map(self.pointwise.add_relu(as_rows(hq), h_worth, as_rows(x)), h.size(2), h.size(3))


class Int8DownBlock(nn.Module):
    """A WeldBlock whose shortcut is an average pool and a 1×1 convolution.

    The pool is a depthwise convolution of the levels that the main path needs anyway: no pass over floats.
    """

    def __init__(self, block: WeldBlock) -> None:
        super().__init__()
        conv, shortcut = cast(nn.Conv2d, block.main[0]), cast(nn.Sequential, block.shortcut)
        self.spatial = Int8Conv2d(*fold(conv, block.main[1]), stride=conv.stride[0], padding=1)
        self.pointwise = Int8Linear(*fold(block.main[3], block.main[4]))
        channels = conv.in_channels
        mean = torch.full((channels, 1, 3, 3), 1 / 9)
        self.pool = Int8Conv2d(mean, torch.zeros(channels), conv.stride[0], 1, groups=channels)
        self.shortcut = Int8Linear(*fold(shortcut[1], shortcut[2]))

    def forward(self, x: Tensor) -> Tensor:
        """``float32[1, C, h, w]``, which is overwritten → ``float32[1, C·e, ⌈h/s⌉, ⌈w/s⌉]``."""
        q, worth = quantize(x, True)
        residual = self.shortcut(as_rows(self.pool.levels(q, worth, worth)), worth)
        h = self.spatial(q, worth)
        hq, h_worth = quantize(h, True)
        return as_map(self.pointwise.add_relu(as_rows(hq), h_worth, residual), h.size(2), h.size(3))


class Int8WeldNet(nn.Module):
    """WeldNet with every convolution and the linear layer dynamically quantized, for one frame."""

    def __init__(self, student: WeldNet) -> None:
        super().__init__()
        self.at_once = 1  # frame: its own peaks give its scales
        self.stem = Int8Stem(student.stem)
        self.blocks = nn.Sequential(
            *(
                Int8Block(block) if isinstance(block.shortcut, nn.Identity) else Int8DownBlock(block)
                for block in cast("list[WeldBlock]", student.blocks)
            )
        )
        self.head = Int8Linear(student.head.weight.detach(), student.head.bias.detach())

    def forward(self, frame: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """``uint8[1, 1, H, W]`` → features ``float32[1, F, h, w]``, pooled ``[1, F]``, logits ``[1, C]``."""
        features: Tensor = self.blocks(self.stem(frame))
        pooled = features.mean((2, 3))
        q, worth = quantize(pooled, False)
        return features, pooled, self.head(q, worth)
