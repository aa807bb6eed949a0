"""Int8 arithmetic for a CPU station through oneDNN: rounding, and the linear layer.

With :mod:`trainer.int8.convolution` all that the int8 networks are built of.

Why by hand: PyTorch's own dynamic convolution loses every negative output (pytorch#70480), and its
``quantize_dynamic`` leaves convolutions alone. ``onednn::qconv2d_pointwise`` and
``onednn::qlinear_pointwise`` compute rightly, take the activation's scale at run time and fuse the bias,
the ReLU and the residual sum.

Numbers: weights are int8 with one symmetric scale for each output channel. Activations are never
negative (an image, or behind a ReLU), so their zero point is 0. 127 levels and not 255: without VNNI,
oneDNN adds pairs of u8×s8 products in 16 bits, which 2·127·127 fits and 2·255·127 does not. Pixels alone
keep their 255: see :class:`trainer.int8.convolution.Int8Conv2d`.

From levels to levels (static int8) what a level is worth is part of the weights, which no call then has to be
told, and no ReLU is asked for, since a byte ends at 0. Both would cost time
(docs/explanation/dynamic-int8.md).

Every call of these operators costs some 50 µs beside its sums, for what oneDNN works out anew each time
(docs/explanation/dynamic-int8.md): the fewer calls, the better.
"""

# no 'from __future__ import annotations' here: TorchScript reads the attributes' types as objects
import torch
from torch import Tensor, nn

MAX_LEVEL = 127  # of an activation, and of a weight's magnitude


def reinterpret(x: Tensor, dtype: torch.dtype) -> Tensor:
    """``x`` seen as another type of as many bits, without a copy.

    By ``set_``, since TorchScript has no ``view(dtype)``.
    """
    view: Tensor = torch.ops.aten.set_(torch.empty([0], dtype=dtype), x)
    return view


def round_weight(weight: Tensor) -> tuple[Tensor, Tensor]:
    """``(int8 weight, float32 scale[out])``: symmetric, one scale for each output channel (dimension 0)."""
    scale = weight.flatten(1).abs().amax(1).clamp_min(1e-30) / MAX_LEVEL
    return torch.round(weight / scale.view(-1, *[1] * (weight.dim() - 1))).to(torch.int8), scale


class Int8Linear(nn.Module):
    """Linear layer over rows with int8 weights, packed on load as the convolution is."""

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

    def forward(self, levels: Tensor, scale: float) -> Tensor:
        """``uint8[..., C]`` of levels, each worth ``scale`` → ``float32[..., C']``."""
        return self._product(levels, scale, dtype=torch.float32, post="none")

    @torch.jit.export
    def relu(self, levels: Tensor, scale: float) -> Tensor:
        """ReLU of :meth:`forward`."""
        return self._product(levels, scale, dtype=torch.float32, post="relu")

    @torch.jit.export
    def add_relu(self, levels: Tensor, scale: float, residual: Tensor) -> Tensor:
        """ReLU of :meth:`forward` plus ``float32[..., C']``, which is overwritten."""
        return self._sum(levels, scale, residual, 1.0, dtype=torch.float32, post="relu")

    @torch.jit.export
    def to_levels(self, levels: Tensor) -> Tensor:
        """Levels ``uint8[..., C]`` → levels ``uint8[..., C']``: the product's ReLU, rounded, up to 255."""
        return self._product(levels, 1.0, dtype=torch.uint8, post="none")

    @torch.jit.export
    def add_to_levels(self, levels: Tensor, residual: Tensor, residual_scale: float) -> Tensor:
        """The same of product plus residual: ``uint8[..., C']``, overwritten, at ``residual_scale``."""
        return self._sum(levels, 1.0, residual, residual_scale, dtype=torch.uint8, post="none")

    def _product(self, levels: Tensor, scale: float, *, dtype: torch.dtype, post: str) -> Tensor:
        outputs: Tensor = torch.ops.onednn.qlinear_pointwise(
            levels, scale, 0, self.packed, self.scale, self.zero, self.bias, 1.0, 0, dtype, post, [], ""
        )
        return outputs

    def _sum(
        self,
        levels: Tensor,
        scale: float,
        residual: Tensor,
        residual_scale: float,
        *,
        dtype: torch.dtype,
        post: str,
    ) -> Tensor:
        outputs: Tensor = torch.ops.onednn.qlinear_pointwise(
            levels, scale, 0, self.packed, self.scale, self.zero, residual, self.bias, 1.0, 0, dtype,
            residual_scale, 0, "sum", 1.0, post, [], "",
        )  # fmt: skip
        return outputs
