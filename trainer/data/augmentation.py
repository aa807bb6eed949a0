"""Augmentation of training frames (section 3.1, Figure 10), with torchvision's transforms.

The printed order is crop, rotation, flip, brightness and contrast, resize. Frames are already scaled
(:mod:`trainer.data.frames`). So the resize is part of the crop, and the paper's one crop size needs none.

A rotation leaves corners without pixels. The paper does not say what fills them. The authors' public code
reflects the crop at its border (``fill="reflect"``), and rotates half of the frames.

On a GPU, single frames would take hundreds of small kernels each. :class:`BatchAugmentation` changes all
frames of a batch at once.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from trainer.network.torchvision import InterpolationMode, transforms


class Augmentation:
    """Augmentation of one frame after another: kept frames → views.

    Random numbers come from torch's global generator. The same seed gives the same views.
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
        rotation_share: float = 1.0,
        fill: Literal["black", "reflect"] = "black",
    ) -> None:
        """Set the strengths.

        Args:
            height: of a view, pixels.
            width: of a view, pixels.
            crop: smallest and largest share of each side.
            rotation: largest angle in both directions, degrees.
            flip: probability of a horizontal flip.
            brightness: largest change up or down, share.
            contrast: largest change up or down, share.
            aspect: largest stretch of a crop against the frame's shape, wide or tall; 1: none.
            flip_vertical: probability of a vertical flip.
            rotation_share: probability of a rotation.
            fill: content of the corners that a rotation leaves: black, or the crop reflected at its border.
        """
        self._size = (height, width)
        self._crop, self._aspect = crop, aspect
        self._rotation, self._rotation_share, self._reflects = rotation, rotation_share, fill == "reflect"
        self._flips, self._light = (flip, flip_vertical), (brightness, contrast)
        rotate: nn.Module = (
            _ReflectingRotation(rotation)
            if self._reflects
            else transforms.RandomRotation(rotation, interpolation=InterpolationMode.BILINEAR)
        )
        self._transform = transforms.Compose(
            [
                # 'RandomApply' draws a number, with which older runs would not resume to the same weights
                transforms.RandomApply([rotate], rotation_share) if rotation_share < 1 else rotate,
                transforms.RandomHorizontalFlip(flip),
                transforms.RandomVerticalFlip(flip_vertical),
                transforms.ColorJitter(brightness=brightness, contrast=contrast),
            ]
        )

    def __call__(self, images: Tensor) -> Tensor:
        """Turn kept frames ``uint8[N, 1, h, w]`` into views ``uint8[N, 1, height, width]``."""
        return torch.stack([self._transform(self._crop_randomly(image)) for image in images])

    def _crop_randomly(self, image: Tensor) -> Tensor:
        low, high = self._crop
        share = low + (high - low) * torch.rand(()).item()
        stretch = self._aspect ** (torch.rand(()).item() - 0.5)  # of each side: the root of the aspect
        height = min(image.shape[1], round(share / stretch * image.shape[1]))
        width = min(image.shape[2], round(share * stretch * image.shape[2]))
        top = int(torch.randint(image.shape[1] - height + 1, ()))
        left = int(torch.randint(image.shape[2] - width + 1, ()))
        cropped: Tensor = transforms.functional.resized_crop(
            image, top, left, height, width, list(self._size), antialias=True
        )
        return cropped


class _ReflectingRotation(nn.Module):
    """Rotation by a random angle about the middle of a view, which is reflected at its border."""

    def __init__(self, degrees: float) -> None:
        super().__init__()
        self._most = math.radians(degrees)

    def forward(self, view: Tensor) -> Tensor:
        angle = (2 * torch.rand(()).item() - 1) * self._most
        sine, cosine, shape = math.sin(angle), math.cos(angle), view.shape[1] / view.shape[2]
        turn = torch.tensor([[[cosine, -sine * shape, 0], [sine / shape, cosine, 0]]])
        grid = F.affine_grid(turn, [1, *view.shape], align_corners=False)
        turned = F.grid_sample(view[None].float(), grid, padding_mode="reflection", align_corners=False)
        return turned[0].round().to(torch.uint8)


class BatchAugmentation(Augmentation):
    """Augmentation of whole batches on their device: one sampling grid for crop, rotation and flips.

    It has no filter against aliasing, which matters little at the trainer's scales (``best``: at most 1.3).
    Brightness always comes before contrast.
    """

    def __call__(self, images: Tensor) -> Tensor:
        """Turn kept frames ``uint8[N, 1, h, w]`` into views ``uint8[N, 1, height, width]`` there."""
        # Drawn on the CPU: one copy to the device, and the same numbers on every device.
        draws = torch.rand(9, len(images), 1, 1).to(images.device)
        if self._rotation_share < 1:  # the middle of the range is no rotation
            draws[6, torch.rand(len(images)) >= self._rotation_share] = 0.5
        grid, inside = self._sampling_grid(draws[:7], images.shape[2], images.shape[3])
        sampled = F.grid_sample(images.float(), grid, padding_mode="border", align_corners=False)
        return (
            self._change_light(sampled * inside.unsqueeze(1), draws[7:].unsqueeze(2)).round().to(torch.uint8)
        )

    def _sampling_grid(self, draws: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
        """Return each pixel's place in its frame, ``[N, H, W, 2]`` from -1 to 1, and if it is not black."""
        low, high = self._crop
        share, stretch = low + (high - low) * draws[0], self._aspect ** (draws[1] - 0.5)
        tall = (share / stretch * height).round().clamp(max=height)
        wide = (share * stretch * width).round().clamp(max=width)
        top, left = (draws[2] * (height - tall + 1)).floor(), (draws[3] * (width - wide + 1)).floor()
        y, x = (((torch.arange(n, device=draws.device) * 2 + 1) / n - 1) for n in self._size)
        y, x = y.view(1, -1, 1), x.view(1, 1, -1)
        x = torch.where(draws[4] < self._flips[0], -x, x)
        y = torch.where(draws[5] < self._flips[1], -y, y)
        angle = (draws[6] * 2 - 1) * math.radians(self._rotation)
        shape = self._size[0] / self._size[1]  # pixels per unit of y against pixels per unit of x
        x, y = angle.cos() * x - angle.sin() * shape * y, angle.sin() / shape * x + angle.cos() * y
        if self._reflects:
            x, y = (1 - ((place + 1) % 4 - 2).abs() for place in (x, y))
        inside = (x.abs() <= 1) & (y.abs() <= 1)
        across, down = (x * wide + 2 * left + wide) / width - 1, (y * tall + 2 * top + tall) / height - 1
        return torch.stack([across.expand_as(inside), down.expand_as(inside)], dim=3), inside

    def _change_light(self, views: Tensor, draws: Tensor) -> Tensor:
        """Change brightness and then contrast, as torchvision defines them."""
        brightness, contrast = (
            1 + (2 * draw - 1) * strength for draw, strength in zip(draws, self._light, strict=True)
        )
        views = (views * brightness).clamp(0, 255)
        mean = views.mean((1, 2, 3), keepdim=True)
        lit: Tensor = ((views - mean) * contrast + mean).clamp(0, 255)
        return lit
