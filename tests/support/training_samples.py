"""A tiny network, frames and hyperparameters with which it learns in seconds."""

from __future__ import annotations

from pathlib import Path

import torch
from trainer_samples import picture

from trainer.data.augmentation import Augmentation
from trainer.data.datasets import Frame
from trainer.data.frames import FrameSet
from trainer.learning import training as training
from trainer.learning.schedule import Hyperparameters
from trainer.network.weldnet import WeldNet, WeldNetConfig


def hyperparameters(**changes: object) -> Hyperparameters:
    """Three short epochs of the printed recipe in batches of eight, with changes."""
    return Hyperparameters(**{"epochs": 3, "batch_size": 8, "milestones": [2], "seed": 5} | changes)


def tiny() -> WeldNet:
    """A WeldNet of two blocks, always with the same initial weights."""
    torch.manual_seed(1)
    return WeldNet(WeldNetConfig(classes=2, stem=4, plan=((1, 1), (2, 2)), height=64, width=64))


def frame_set(count: int = 20, side: int = 80) -> FrameSet:
    """Frames of two classes in turns."""
    labels = torch.arange(count) % 2
    images = torch.stack([torch.from_numpy(picture(int(n), i, side))[None] for i, n in enumerate(labels)])
    frames = [Frame(Path(f"{i}.png"), f"{i}.png", int(n)) for i, n in enumerate(labels)]
    return FrameSet(images, labels, frames)


def augmentation() -> Augmentation:
    """The paper's steps, 80 → 64 pixels."""
    return Augmentation(64, 64, crop=(0.8, 0.8), rotation=10, flip=0.5, brightness=0.2, contrast=0.2)
