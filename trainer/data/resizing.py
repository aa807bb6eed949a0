"""The one resize that training, evaluation and the daemon share.

It travels inside the artifact, so it is written in what TorchScript can compile.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def prepare(image: Tensor, height: int, width: int) -> Tensor:
    """A decoded frame at the network's size: antialiased bilinear.

    Bit-equal to Pillow's ``resize`` at the camera's 974×800 → 487×400; within one grey level at ratios
    whose weights torch rounds to 16 bits and Pillow to 22.

    Args:
        image: ``uint8[1, h, w]`` of any size.
        height: rows of the result, pixels.
        width: columns of the result, pixels.

    Returns:
        ``uint8[1, height, width]``.
    """
    if image.dtype != torch.uint8 or image.dim() != 3 or image.size(0) != 1:
        raise ValueError("a frame must be uint8[1, h, w]")
    if image.size(1) == height and image.size(2) == width:
        return image
    return F.interpolate(
        image.unsqueeze(0), size=[height, width], mode="bilinear", align_corners=False, antialias=True
    )[0]
