"""EfficientNet-Lite0, a network that has learnt a million photographs (ImageNet).

A 3×3 stem, 16 inverted bottlenecks (Sandler et al. 2018) and a 1×1 convolution, all with batch norm and
ReLU6. The plan of the blocks is EfficientNet-B0's (Tan and Le 2019). Lite networks have ReLU6 in place of
swish, and no squeeze-and-excitation. ``weights/README.md`` says where the weights come from, and how this
module was compared with the original.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from trainer.errors import RunError
from trainer.network import archives

WEIGHTS = Path(__file__).parent / "weights" / "lite0.pt"  # half precision, without the classifier of ImageNet
TEACHER = "teacher-lite0"  # a run's teacher of this architecture, in its folder and in results.json

# Blocks, kernel, stride of the first block, expansion and channels of each stage
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
STEM, LAST = 32, 1280  # channels after the first and the last convolution
POOLED = (2, 4, 7)  # the maps of the features: two middle stages, and the last convolution
FEATURES = 2 * (
    40 + 112 + LAST
)  # the mean and the largest value of each channel; a small defect moves only this
# Pixels of a frame, at least and at most: ImageNet's photographs had 224×224, and at 256×448 small cracks are
# found more often (trainer/evaluation/linear_probe.py). Each side is enlarged at most so many times.
MIN_PIXELS, PIXELS, MAX_ENLARGEMENT = 224 * 224, 256 * 448, 2.0
MIN_SIDE = 32  # pixels: the stride of the last map
_EPSILON, _MOMENTUM = 1e-3, 0.01  # of batch norm, as the weights were trained
_MEAN, _SPREAD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's red, green and blue


class SameConvolution(nn.Conv2d):
    """Convolution with TensorFlow's padding 'same': the output has ⌈side/stride⌉, an odd pixel goes below.

    With torch's symmetric padding the strided maps would be shifted by a pixel against those that the weights
    have learnt.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Float ``[N, C, h, w]`` → ``[N, D, ⌈h/s⌉, ⌈w/s⌉]``."""
        (kernel, _), (stride, _) = self.kernel_size, self.stride  # both are square
        missing = [max((-(-side // stride) - 1) * stride + kernel - side, 0) for side in x.shape[2:]]
        if any(missing):
            height, width = missing
            x = F.pad(x, [width // 2, width - width // 2, height // 2, height - height // 2])
        return super().forward(x)


def _convolution(
    channels: int, out: int, kernel: int = 1, stride: int = 1, groups: int = 1
) -> list[nn.Module]:
    """Make a convolution with its batch norm."""
    return [
        SameConvolution(channels, out, kernel, stride, groups=groups, bias=False),
        nn.BatchNorm2d(out, eps=_EPSILON, momentum=_MOMENTUM),
    ]


class InvertedBottleneck(nn.Module):
    """1×1 convolution to more channels → depthwise → 1×1 to few; the input is added if the shapes agree."""

    def __init__(self, channels: int, out: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = channels * expansion
        widening = [*_convolution(channels, wide), nn.ReLU6(inplace=True)] if expansion > 1 else []
        self.layers = nn.Sequential(
            *widening,
            *_convolution(wide, wide, kernel, stride, groups=wide),
            nn.ReLU6(inplace=True),
            *_convolution(wide, out),
        )
        self.adds_input = stride == 1 and channels == out

    def forward(self, x: Tensor) -> Tensor:
        """Float ``[N, C, h, w]`` → ``[N, D, ⌈h/s⌉, ⌈w/s⌉]``."""
        out: Tensor = self.layers(x)
        return out + x if self.adds_input else out


class Lite0(nn.Module):
    """The network without classifier: grey frames ``[N, 1, H, W]`` from 0 to 1 → the maps of its stages."""

    mean: Tensor
    spread: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(*_convolution(3, STEM, kernel=3, stride=2), nn.ReLU6(inplace=True))
        self.stages, channels = nn.ModuleList(), STEM
        for blocks, kernel, first_stride, expansion, out in STAGES:
            stage = nn.Sequential()
            for stride in (first_stride, *[1] * (blocks - 1)):
                stage.append(InvertedBottleneck(channels, out, kernel, stride, expansion))
                channels = out
            self.stages.append(stage)
        self.last = nn.Sequential(*_convolution(channels, LAST), nn.ReLU6(inplace=True))
        self.register_buffer("mean", torch.tensor(_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("spread", torch.tensor(_SPREAD).view(1, 3, 1, 1), persistent=False)

    def maps(self, frames: Tensor) -> list[Tensor]:
        """Return the maps after each of the seven stages and after the last convolution.

        The grey value stands for all three colours, normalized as ImageNet's photographs were.
        """
        x = self.stem((frames - self.mean) / self.spread)
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return [*maps, self.last(x)]

    def features(self, frames: Tensor) -> Tensor:
        """Return means and maxima of maps, ``[N, FEATURES]``, for grey frames ``[N, 1, H, W]`` from 0 to 1.

        The frames are resized to :func:`frame_size`, antialiased bilinear.
        """
        height, width = frame_size(frames.shape[2], frames.shape[3])
        if (height, width) != tuple(frames.shape[2:]):
            frames = F.interpolate(
                frames, size=[height, width], mode="bilinear", align_corners=False, antialias=True
            )
        maps = self.maps(frames.contiguous(memory_format=torch.channels_last))
        pooled = [maps[number] for number in POOLED]
        means, maxima = [each.mean(dim=(2, 3)) for each in pooled], [each.amax(dim=(2, 3)) for each in pooled]
        return torch.cat([*means, *maxima], dim=1)


def frame_size(height: int, width: int) -> tuple[int, int]:
    """Return height and width at which the network sees frames of this size.

    They have ``MIN_PIXELS`` to ``PIXELS``. Frames between these stay as they are, so the size of a size that
    was returned here is the same.
    """
    pixels = height * width
    scale = min(1.0, math.sqrt(PIXELS / pixels))
    if pixels < MIN_PIXELS:
        scale = min(MAX_ENLARGEMENT, math.sqrt(MIN_PIXELS / pixels))
    return max(MIN_SIDE, round(height * scale)), max(MIN_SIDE, round(width * scale))


class Classifier(nn.Module):
    """A linear layer on the pretrained network's features: grey frames from 0 to 1 → logits ``[N, C]``.

    The means and spreads of batch norm stay those of ImageNet, in training too: batches of few frames have
    none worth the name, and the linear layer begins with features that have these.
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        # Two thirds of the time of torch's default memory order, on one core
        self.body = pretrained().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.head = nn.Linear(FEATURES, classes)

    def train(self, mode: bool = True) -> Self:
        """Set the mode of all layers except batch norm."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        return self

    def forward(self, frames: Tensor) -> Tensor:
        """Return logits; in full precision outside training, because small differences of features count."""
        rounds = self.training and torch.is_autocast_enabled(frames.device.type)
        with torch.autocast(frames.device.type, torch.bfloat16, enabled=rounds):
            logits: Tensor = self.head(self.body.features(frames))
        return logits


def pretrained(path: Path = WEIGHTS) -> Lite0:
    """Return the network with the weights that come with the program, in evaluation mode.

    Raises:
        RunError: the file is missing or damaged.
    """
    if not archives.is_whole(path):
        raise RunError(f"{path}: is missing or damaged; install the program again")
    network = Lite0()
    weights = torch.load(path, map_location="cpu", weights_only=True)
    network.load_state_dict({name: value.float() for name, value in weights.items()}, strict=False)
    return network.eval()
