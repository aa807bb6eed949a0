"""Int8 arithmetic through oneDNN: rounded weights, and the linear layer.

The int8 networks are built from these layers and those of :mod:`trainer.int8.convolution`.

PyTorch's own int8 does not serve here. Its dynamic convolution loses every negative output (pytorch#70480),
and ``quantize_dynamic`` leaves convolutions in floats. ``onednn::qconv2d_pointwise`` and
``onednn::qlinear_pointwise`` compute correctly. They take the activation's scale at run time, and fuse the
bias, the ReLU and the residual sum.

- Weights are int8 with one symmetric scale per output channel.
- Activations are never negative (an image, or a map after a ReLU), so their zero point is 0.
- Activations have 127 levels, not 255. Without VNNI, oneDNN adds pairs of u8×s8 products in 16 bits:
  2·127·127 fits, 2·255·127 does not. Pixels keep their 255 levels: see
  :class:`trainer.int8.convolution.Int8Conv2d`.
- Layers from levels to levels (static int8) have the scales in their weights, so no call passes one. They
  need no ReLU either, because a byte ends at 0. Both would cost time.

Each call of these operators costs some 50 µs in addition to its sums, because oneDNN prepares it again each
time. So fewer calls are better (docs/explanation/dynamic-int8.md).
"""

# No 'from __future__ import annotations' here: TorchScript reads the attributes' types as objects
import torch
from torch import Tensor, nn

MAX_LEVEL = 127  # of an activation, and of a weight's magnitude


def reinterpret(x: Tensor, dtype: torch.dtype) -> Tensor:
    """Return ``x`` as another type of the same number of bits, without a copy.

    TorchScript has no ``view(dtype)``, so it uses ``set_``. In Python ``set_`` would be slow: torch tries one
    overload after the other, and writes each refusal with the tensor's numbers in it.
    """
    if not torch.jit.is_scripting():  # type: ignore[attr-defined]
        return x.view(dtype)
    view: Tensor = torch.ops.aten.set_(torch.empty([0], dtype=dtype), x)
    return view


def round_weight(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Round to ``(int8 weight, float32 scale[out])``, symmetric, one scale per output channel."""
    scale = weight.flatten(1).abs().amax(1).clamp_min(1e-30) / MAX_LEVEL
    return torch.round(weight / scale.view(-1, *[1] * (weight.dim() - 1))).to(torch.int8), scale


class Int8Linear(nn.Module):
    """Linear layer over rows with int8 weights.

    As in the convolution, the state has the plain weights and loading packs them.
    """

    zero: Tensor
    packed: Tensor

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.weight, self.scale = round_weight(weight.flatten(1))
        self.bias = bias
        self.pack()

    def pack(self) -> None:
        """Arrange the weights for this processor's kernels."""
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
        """Levels ``uint8[..., C]`` of this ``scale`` → ``float32[..., C']``."""
        return self._product(levels, scale, dtype=torch.float32, post="none")

    @torch.jit.export
    def relu(self, levels: Tensor, scale: float) -> Tensor:
        """The ReLU of :meth:`forward`."""
        return self._product(levels, scale, dtype=torch.float32, post="relu")

    @torch.jit.export
    def add_relu(self, levels: Tensor, scale: float, residual: Tensor) -> Tensor:
        """The ReLU of :meth:`forward` plus a residual ``float32[..., C']``, which is overwritten."""
        return self._sum(levels, scale, residual, 1.0, dtype=torch.float32, post="relu")

    @torch.jit.export
    def to_levels(self, levels: Tensor) -> Tensor:
        """Levels ``uint8[..., C]`` → levels ``uint8[..., C']`` of the product's ReLU, rounded, up to 255."""
        return self._product(levels, 1.0, dtype=torch.uint8, post="none")

    @torch.jit.export
    def add_to_levels(self, levels: Tensor, residual: Tensor, residual_scale: float) -> Tensor:
        """Levels of product plus residual ``uint8[..., C']``, which has its own scale and is overwritten."""
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
