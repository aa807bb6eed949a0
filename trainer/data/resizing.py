"""The resize that training, evaluation and the daemon share.

It is part of the artifact, so TorchScript must be able to compile it.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def prepare(image: Tensor, height: int, width: int) -> Tensor:
    """Resize a decoded frame to the network's size, antialiased bilinear.

    For the camera's 974×800 → 487×400, the result equals Pillow's ``resize`` to the bit. At other ratios it
    differs by at most one grey level, because torch rounds weights to 16 bits and Pillow to 22.

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
