"""WeldNet, the paper's network (section 2.3, Figure 7), reconstructed from its text and printed numbers.

Stem 7×7/2 → max pool 3×3/2 → WeldBlocks → global average pool → linear. The picture of Figure 7 was not
available. Four readings of the stem meet every printed size (0.30×10⁷ parameters, five networks 1.49×10⁷): a
7×7 convolution (the network then has 2,971,750 parameters) or a 3×3 one (2,970,470), each with or without the
max pool, which has none. This is the reading with the stem of ResNet, with which the paper compares. The
printed speed, 2.48 times ResNet18's, decides nothing: by products per frame WeldNet is 7.6 times as cheap
with the pool, and 2.1 times without.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

# (e, s) of each WeldBlock: the channels are multiplied by e, and s is the stride
PAPER_PLAN = ((1, 1), (2, 2), (1, 1), (2, 2), (1, 1), (2, 2), (1, 1), (2, 2))


@dataclass(frozen=True)
class WeldNetConfig:
    """The network's shape, saved with its weights.

    Raises:
        ValueError: no network can be built from a value.
    """

    in_channels: int = 1  # the camera is grey
    classes: int = 6  # the paper's Al5083 classes
    stem: int = 32  # channels after the first convolution (section 2.3)
    plan: tuple[tuple[int, int], ...] = PAPER_PLAN
    height: int = 487  # pixels of a prepared frame: half of the camera's 974
    width: int = 400  # pixels: half of the camera's 800

    def __post_init__(self) -> None:
        # A configuration that was read from JSON or YAML has lists instead of tuples
        object.__setattr__(self, "plan", tuple((int(e), int(s)) for e, s in self.plan))
        if self.in_channels < 1 or self.stem < 1:
            raise ValueError(f"in_channels and stem must be at least 1, not {self.in_channels}, {self.stem}")
        if self.classes < 2:
            raise ValueError(f"a classifier needs at least 2 classes, not {self.classes}")
        if not self.plan or any(e < 1 or s not in (1, 2) for e, s in self.plan):
            raise ValueError(f"plan must be pairs of channel scale ≥ 1 and stride 1 or 2, not {self.plan}")
        if min(self.height, self.width) < 64:
            raise ValueError(f"frames must be at least 64×64 pixels, not {self.width}×{self.height}")


class WeldBlock(nn.Module):
    """3×3 convolution (stride s) → 1×1; shortcut 3×3 average pool (stride s) → 1×1; ReLU after the sum.

    The pool comes before the strided 1×1 of the shortcut, so that no pixel is skipped. If e = s = 1, the
    shortcut is the identity.
    """

    def __init__(self, channels: int, expansion: int, stride: int) -> None:
        super().__init__()
        out = channels * expansion
        self.main = nn.Sequential(
            nn.Conv2d(channels, out, 3, stride=stride, padding=1, bias=False),
            nn.BatchNorm2d(out),
            nn.ReLU(inplace=True),
            nn.Conv2d(out, out, 1, bias=False),
            nn.BatchNorm2d(out),
        )
        self.shortcut: nn.Module = nn.Identity()
        if (expansion, stride) != (1, 1):
            self.shortcut = nn.Sequential(
                nn.AvgPool2d(3, stride=stride, padding=1),
                nn.Conv2d(channels, out, 1, bias=False),
                nn.BatchNorm2d(out),
            )

    def forward(self, x: Tensor) -> Tensor:
        """Float ``[N, C, h, w]`` → ``[N, C·e, ⌈h/s⌉, ⌈w/s⌉]``, not negative."""
        return torch.relu(self.main(x) + self.shortcut(x))


class WeldNet(nn.Module):
    """The network: float frames ``[N, 1, H, W]`` from 0 to 1, at least 64×64 pixels → logits ``[N, C]``."""

    def __init__(self, config: WeldNetConfig = WeldNetConfig()) -> None:
        super().__init__()
        self.config = config
        self.stem = nn.Sequential(
            nn.Conv2d(config.in_channels, config.stem, 7, stride=2, padding=3, bias=False),
            nn.BatchNorm2d(config.stem),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, stride=2, padding=1),
        )
        blocks, channels = [], config.stem
        for expansion, stride in config.plan:
            blocks.append(WeldBlock(channels, expansion, stride))
            channels *= expansion
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Linear(channels, config.classes)

    def features(self, x: Tensor) -> Tensor:
        """Feature maps before pooling, float ``[N, F, h, w]``, not negative."""
        features: Tensor = self.blocks(self.stem(x))
        return features

    def forward(self, x: Tensor) -> Tensor:
        """Logits, float ``[N, C]``."""
        logits: Tensor = self.head(self.features(x).mean(dim=(2, 3)))
        return logits
