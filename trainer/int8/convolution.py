"""The int8 convolution: its weights are packed once, for the processor and for the size of the maps.

Otherwise oneDNN would arrange them again in each call. That is most of the time that a fast network can lose
(docs/explanation/dynamic-int8.md).
"""

# No 'from __future__ import annotations' here: TorchScript reads the attributes' types as objects
import torch
from torch import Tensor, nn

from trainer.int8.linear import round_weight


def prefers_separate_pool() -> bool:
    """Whether this processor pools faster in a separate call than with more rows of the convolution.

    If it multiplies whole tiles (AMX), more rows cost less than a call. Otherwise they are a tenth of all of
    WeldNet's sums. No operator reports tiles, but processors with half floats have them.
    """
    half_floats: bool = torch.ops.mkldnn._is_mkldnn_fp16_supported()
    return not half_floats


def sums_hold_bytes() -> bool:
    """Whether this processor's sums hold products of bytes up to 255, by trial: no operator reports VNNI."""
    pixels, weight = torch.full([1, 64], 255, dtype=torch.uint8), torch.full([16, 64], 127, dtype=torch.int8)
    packed = torch.ops.onednn.qlinear_prepack(weight, None)
    one, zero = torch.ones([16]), torch.zeros([16], dtype=torch.int64)
    sums: Tensor = torch.ops.onednn.qlinear_pointwise(
        pixels, 1.0, 0, packed, one, zero, None, 1.0, 0, torch.float32, "none", [], ""
    )
    return bool((sums == 255.0 * 127.0 * 64.0).all())


class Int8Conv2d(nn.Module):
    """Convolution and ReLU with int8 weights, optionally with the input's average pool as further channels.

    Pixels keep their 255 levels. With 127, SS304's logits are 1.6 times as far from those of fp32
    (docs/explanation/dynamic-int8.md). If the processor's sums cannot hold them, the same weights multiply
    them as floats, which add such integers exactly. That takes longer, and the answer is the same.

    Packed weights do not survive ``torch.jit.save``. So the state has the plain ones, and loading packs them
    for the processor that loads.
    """

    packed: Tensor
    scales: Tensor  # of all channels of the product; so are the next two
    biases: Tensor
    zero: Tensor
    # Whether this processor's kernels write bfloat16; with AVX2 alone they take twenty times as long
    has_bf16: bool
    whole: bool  # this processor's sums hold the input, pixels up to 255 included
    apart: bool  # the pool is a separate product, not rows of the convolution's
    turned: bool  # rows and columns are exchanged before the product, and back after it
    pooling: Tensor  # the separate pool's packed weights, or empty
    pool_scale: Tensor
    pool_zero: Tensor

    def __init__(
        self,
        weight: Tensor,
        bias: Tensor,
        stride: int,
        padding: int,
        *,
        size: tuple[int, int],
        pool: float = 0.0,
        pixels: bool = False,
    ) -> None:
        """Round and pack the weights.

        Args:
            weight: float32[out, in, k, k].
            bias: float32[out].
            stride: down and across.
            padding: on all sides.
            size: height and width of the input maps, pixels. Others work too, but then oneDNN may arrange the
                weights again in each call; with one layer of WeldNet that takes 1.1 ms.
            pool: factor of the input's average pool of the same kernel and stride, or 0 for no pool. It adds
                ``in`` channels after the convolution's.
            pixels: the input may reach 255. Not together with a pool, which has no sums of floats.
        """
        super().__init__()
        if pixels and pool > 0:
            raise ValueError("a convolution of pixels cannot have a pool")
        self.weight, self.scale = round_weight(weight)
        self.bias = bias
        self.stride, self.padding, self.size = [stride, stride], [padding, padding], list(size)
        self.pool, self.pixels = pool, pixels
        self.pack(prefers_separate_pool())

    def pack(self, separate_pool: bool) -> None:
        """Arrange the weights for this processor's kernels."""
        self.has_bf16 = torch.ops.mkldnn._is_mkldnn_bf16_supported()
        self.whole = not self.pixels or sums_hold_bytes()
        self.apart = separate_pool and self.pool > 0
        # With strides oneDNN (torch 2.13) computes wrong values from maps of one or two columns and more rows
        self.turned = self.stride[0] > 1 and self.size[1] <= 2 and self.size[0] > 2
        channels, height, width = self.weight.size(1), self.weight.size(2), self.weight.size(3)
        mean = torch.full([channels if self.pool > 0 else 0, 1, height, width], 127, dtype=torch.int8)
        self.pool_scale = torch.full([1], self.pool / (127.0 * height * width))
        self.pool_zero = torch.zeros([1], dtype=torch.int64)
        weight, self.scales, self.biases, self.pooling = self.weight, self.scale, self.bias, torch.empty(0)
        if self.apart:
            self.pooling = self._packed(mean, self.pool_scale, channels)
        elif self.pool > 0:
            identity = torch.eye(channels, dtype=torch.int8).view(channels, channels, 1, 1)
            weight = torch.cat([weight, identity * mean])
            self.scales = torch.cat([self.scale, self.pool_scale.expand(channels)])
            self.biases = torch.cat([self.bias, torch.zeros(channels)])
        self.zero = torch.zeros_like(self.scales, dtype=torch.int64)
        self.packed = self._packed(weight, self.scales, 1)

    def _packed(self, weight: Tensor, scales: Tensor, groups: int) -> Tensor:
        height, width = self.size[0], self.size[1]
        if self.turned:
            weight, height, width = weight.transpose(2, 3).contiguous(), width, height
        packed: Tensor = torch.ops.onednn.qconv_prepack(
            weight, scales, 1.0, 0, self.stride, self.padding, [1, 1], groups,
            [1, weight.size(1) * groups, height, width],
        )  # fmt: skip
        return packed

    @torch.jit.export
    def __getstate__(
        self,
    ) -> tuple[Tensor, Tensor, Tensor, list[int], list[int], list[int], float, bool, bool]:
        return (
            self.weight, self.scale, self.bias, self.stride, self.padding, self.size, self.pool,
            self.pixels, self.training,
        )  # fmt: skip

    @torch.jit.export
    def __setstate__(
        self, state: tuple[Tensor, Tensor, Tensor, list[int], list[int], list[int], float, bool, bool]
    ) -> None:
        (
            self.weight, self.scale, self.bias, self.stride, self.padding, self.size, self.pool,
            self.pixels, self.training,
        ) = state  # fmt: skip
        self.pack(prefers_separate_pool())

    def forward(self, levels: Tensor, scale: float) -> list[Tensor]:
        """Levels ``uint8[N, C, h, w]`` of this ``scale`` → ``float32[N, C', h', w']``.

        A separate pool is a second map.
        """
        return self._products(levels, scale, dtype=torch.float32, post="relu")

    @torch.jit.export
    def to_bfloat16(self, levels: Tensor, scale: float) -> Tensor:
        """The same as ``bfloat16``, without a pool: half the memory, and 8 bits like the next levels."""
        return self._products(levels, scale, dtype=torch.bfloat16, post="relu")[0]

    @torch.jit.export
    def to_levels(self, levels: Tensor) -> Tensor:
        """The same as levels up to 255, ``uint8[N, C', h', w']``; the pool's channels come last."""
        maps = self._products(levels, 1.0, dtype=torch.uint8, post="none")
        return maps[0] if len(maps) == 1 else torch.cat(maps, 1)

    def _products(self, levels: Tensor, scale: float, *, dtype: torch.dtype, post: str) -> list[Tensor]:
        if not self.whole:
            return [self._product_of_floats(levels, scale, dtype)]
        if self.turned:
            levels = levels.transpose(2, 3).contiguous(memory_format=torch.channels_last)
        maps = [torch.ops.onednn.qconv2d_pointwise(
            levels, scale, 0, self.packed, self.scales, self.zero, self.biases, self.stride, self.padding,
            [1, 1], 1, 1.0, 0, dtype, post, [], "",
        )]  # fmt: skip
        if self.apart:
            maps.append(torch.ops.onednn.qconv2d_pointwise(
                levels, scale, 0, self.pooling, self.pool_scale, self.pool_zero, None, self.stride,
                self.padding, [1, 1], levels.size(1), 1.0, 0, dtype, post, [], "",
            ))  # fmt: skip
        if self.turned:
            maps = [each.transpose(2, 3).contiguous(memory_format=torch.channels_last) for each in maps]
        return maps

    def _product_of_floats(self, levels: Tensor, scale: float, dtype: torch.dtype) -> Tensor:
        sums = torch.conv2d(
            levels.to(torch.float32), self.weight.to(torch.float32), None, self.stride, self.padding
        )
        outputs = (sums * (self.scale * scale).view(-1, 1, 1) + self.bias.view(-1, 1, 1)).clamp_min_(0)
        if dtype == torch.uint8:
            outputs = outputs.round_().clamp_(max=255)
        return outputs.to(dtype, memory_format=torch.channels_last)
