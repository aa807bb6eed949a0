"""The paper's augmentation (section 3.1, Figure 10) through torchvision's transforms.

Printed order: crop, rotation, flip, brightness and contrast, resize. Frames come already scaled
(:mod:`trainer.frames`), so the resize is part of the crop, and none at all at the paper's one crop size.
"""

from __future__ import annotations

import torch
from torch import Tensor

from trainer.vision import InterpolationMode, transforms


class Augmentation:
    """Kept frames → training frames, each varied on its own.

    Random numbers come from torch's global generator: seed that for the same views again.
    """

    def __init__(
        self,
        height: int,
        width: int,
        *,
        crop: tuple[float, float],
        rotation: float,
        flip: float,
        brightness: float,
        contrast: float,
        aspect: float = 1.0,
        flip_vertical: float = 0.0,
    ) -> None:
        """Set the strengths.

        Args:
            height: of a result, pixels.
            width: of a result, pixels.
            crop: smallest and largest share of each side.
            rotation: largest angle either way, degrees; the corners turn black.
            flip: probability of a horizontal flip.
            brightness: largest change either way, share.
            contrast: largest change either way, share.
            aspect: a crop's largest stretch against the frame's shape, either way; 1: none.
            flip_vertical: probability of a vertical flip.
        """
        self._size = (height, width)
        self._crop, self._aspect = crop, aspect
        self._transform = transforms.Compose(
            [
                transforms.RandomRotation(rotation, interpolation=InterpolationMode.BILINEAR),
                transforms.RandomHorizontalFlip(flip),
                transforms.RandomVerticalFlip(flip_vertical),
                transforms.ColorJitter(brightness=brightness, contrast=contrast),
            ]
        )

    def __call__(self, images: Tensor) -> Tensor:
        """``uint8[N, 1, h, w]`` as kept → ``uint8[N, 1, height, width]``."""
        return torch.stack([self._transform(self._cropped(image)) for image in images])

    def _cropped(self, image: Tensor) -> Tensor:
        low, high = self._crop
        share = low + (high - low) * torch.rand(()).item()
        stretch = self._aspect ** (torch.rand(()).item() - 0.5)  # of each side: the shape's root
        height = min(image.shape[1], round(share / stretch * image.shape[1]))
        width = min(image.shape[2], round(share * stretch * image.shape[2]))
        top = int(torch.randint(image.shape[1] - height + 1, ()))
        left = int(torch.randint(image.shape[2] - width + 1, ()))
        cropped: Tensor = transforms.functional.resized_crop(
            image, top, left, height, width, list(self._size), antialias=True
        )
        return cropped
