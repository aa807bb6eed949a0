"""Int8 arithmetic for a CPU station through oneDNN: rounding, and the two layers that all else is built of.

Why by hand: PyTorch's own dynamic convolution loses every negative output (pytorch#70480), and its
``quantize_dynamic`` leaves convolutions alone. ``onednn::qconv2d_pointwise`` and
``onednn::qlinear_pointwise`` compute rightly, take the activation's scale at run time and fuse the bias,
the ReLU and the residual sum.

Numbers: weights are int8 with one symmetric scale for each output channel. Activations are never
negative (an image, or behind a ReLU), so their zero point is 0. 127 levels and not 255: without VNNI,
oneDNN adds pairs of u8×s8 products in 16 bits, which 2·127·127 fits and 2·255·127 does not.

Every call of these operators costs some 50 µs beside its sums, for what oneDNN works out anew each time
(docs/speed.md): the fewer calls, the better.
"""

# no 'from __future__ import annotations' here: TorchScript reads the attributes' types as objects
import torch
from torch import Tensor, nn

LEVELS = 127  # largest level of an activation, and of a weight's magnitude
Limit = int | float | complex | None  # what the operators call a scalar


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


class Int8Conv2d(nn.Module):
    """Convolution and ReLU with int8 weights, and, where asked, the input's average pool beside its channels.

    Packed weights do not survive ``torch.jit.save``: the state carries the plain ones and packs on load, for
    the processor that loads.
    """

    zero: Tensor
    packed: Tensor
    scales: Tensor  # of all rows: the convolution's, then the pool's
    biases: Tensor
    # Whether this processor's kernels write it: with AVX2 alone they take twenty times as long.
    has_bf16: bool

    def __init__(self, weight: Tensor, bias: Tensor, stride: int, padding: int, pool: float = 0.0) -> None:
        """Round and pack.

        Args:
            weight: float32[out, in, k, k].
            bias: float32[out].
            stride: either way.
            padding: either way.
            pool: 0, or what the average pool of the input, by the same kernel and stride, is multiplied by;
                it takes ``in`` more channels after the convolution's. As rows of the same product it costs
                less than the call of an operator.
        """
        super().__init__()
        self.weight, self.scale = round_weight(weight)
        self.bias = bias
        self.stride, self.padding = [stride, stride], [padding, padding]
        self.pool = pool
        self.pack()

    def pack(self) -> None:
        """Lay the weights out as this processor's kernels want them."""
        weight, self.scales, self.biases = self.weight, self.scale, self.bias
        if self.pool > 0:
            channels, height, width = weight.size(1), weight.size(2), weight.size(3)
            mean = torch.eye(channels, dtype=torch.int8).mul(127).view(channels, channels, 1, 1)
            weight = torch.cat([weight, mean.expand(-1, -1, height, width)])
            worth = torch.full([channels], self.pool / (127.0 * height * width))
            self.scales = torch.cat([self.scale, worth])
            self.biases = torch.cat([self.bias, torch.zeros(channels)])
        self.has_bf16 = torch.ops.mkldnn._is_mkldnn_bf16_supported()
        self.zero = torch.zeros_like(self.scales, dtype=torch.int64)
        self.packed = torch.ops.onednn.qconv_prepack(
            weight, self.scales, 1.0, 0, self.stride, self.padding, [1, 1], 1, None
        )

    @torch.jit.export
    def __getstate__(self) -> tuple[Tensor, Tensor, Tensor, list[int], list[int], float, bool]:
        return (
            self.weight, self.scale, self.bias, self.stride, self.padding, self.pool, self.training,
        )  # fmt: skip

    @torch.jit.export
    def __setstate__(self, state: tuple[Tensor, Tensor, Tensor, list[int], list[int], float, bool]) -> None:
        (
            self.weight, self.scale, self.bias, self.stride, self.padding, self.pool, self.training,
        ) = state  # fmt: skip
        self.pack()

    def forward(self, q: Tensor, scale: float) -> Tensor:
        """``uint8[N, C, h, w]`` of levels, each worth ``scale`` → ``float32[N, C', h', w']``."""
        y: Tensor = torch.ops.onednn.qconv2d_pointwise(
            q, scale, 0, self.packed, self.scales, self.zero, self.biases, self.stride, self.padding, [1, 1],
            1, 1.0, 0, torch.float32, "relu", [], "",
        )  # fmt: skip
        return y

    @torch.jit.export
    def halves(self, q: Tensor, scale: float) -> Tensor:
        """The same as ``bfloat16[N, C', h', w']``: half the memory, and 8 bits like the levels to come."""
        y: Tensor = torch.ops.onednn.qconv2d_pointwise(
            q, scale, 0, self.packed, self.scales, self.zero, self.biases, self.stride, self.padding, [1, 1],
            1, 1.0, 0, torch.bfloat16, "relu", [], "",
        )  # fmt: skip
        return y

    @torch.jit.export
    def levels(self, q: Tensor, scale: float, out: float, cut: bool) -> Tensor:
        """The same as ``uint8[N, C', h', w']`` of levels 0..255, each worth ``out``; ``cut``: up to 127."""
        limits: list[Limit] = [0.0, 127.0 * out] if cut else []
        y: Tensor = torch.ops.onednn.qconv2d_pointwise(
            q, scale, 0, self.packed, self.scales, self.zero, self.biases, self.stride, self.padding, [1, 1],
            1, out, 0, torch.uint8, "hardtanh" if cut else "relu", limits, "",
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
        """``uint8[..., C]`` of levels, each worth ``scale`` → ``float32[..., C']``."""
        y: Tensor = torch.ops.onednn.qlinear_pointwise(
            q, scale, 0, self.packed, self.scale, self.zero, self.bias, 1.0, 0, torch.float32, "none", [], ""
        )
        return y

    @torch.jit.export
    def add_relu(self, q: Tensor, scale: float, residual: Tensor) -> Tensor:
        """ReLU of :meth:`forward` plus ``float32[..., C']``, which is overwritten."""
        y: Tensor = torch.ops.onednn.qlinear_pointwise(
            q, scale, 0, self.packed, self.scale, self.zero, residual, self.bias, 1.0, 0, torch.float32,
            1.0, 0, "sum", 1.0, "relu", [], "",
        )  # fmt: skip
        return y

    @torch.jit.export
    def relu(self, q: Tensor, scale: float) -> Tensor:
        """ReLU of :meth:`forward`."""
        y: Tensor = torch.ops.onednn.qlinear_pointwise(
            q, scale, 0, self.packed, self.scale, self.zero, self.bias, 1.0, 0, torch.float32, "relu", [], ""
        )
        return y

    @torch.jit.export
    def relu_levels(self, q: Tensor, scale: float, out: float) -> Tensor:
        """:meth:`relu` as ``uint8[..., C']`` of levels 0..127, each worth ``out``; what is above is cut."""
        limits: list[Limit] = [0.0, 127.0 * out]
        y: Tensor = torch.ops.onednn.qlinear_pointwise(
            q, scale, 0, self.packed, self.scale, self.zero, self.bias, out, 0, torch.uint8,
            "hardtanh", limits, "",
        )  # fmt: skip
        return y

    @torch.jit.export
    def add_relu_levels(
        self, q: Tensor, scale: float, residual: Tensor, *, worth: float, out: float
    ) -> Tensor:
        """:meth:`add_relu` of levels that are ``worth`` so much each, as levels 0..255 worth ``out``."""
        y: Tensor = torch.ops.onednn.qlinear_pointwise(
            q, scale, 0, self.packed, self.scale, self.zero, residual, self.bias, out, 0, torch.uint8,
            worth, 0, "sum", 1.0, "relu", [], "",
        )  # fmt: skip
        return y
