"""Small real image files for the trainer's tests, in classes that a tiny network can separate."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

torch.set_num_threads(1)  # threads of so small networks only wait for each other

CLASSES = ("bad", "good")


def picture(label: int, seed: int, side: int = 80) -> NDArray[np.uint8]:
    """A grey square uint8[side, side]: a bright blot at the top for class 0, two lower down for class 1."""
    rng = np.random.default_rng([label, seed])
    rows, columns = np.mgrid[:side, :side] / side
    spots = [(0.3, 0.5)] if label == 0 else [(0.6, 0.3), (0.6, 0.7)]
    grey = sum(np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / 0.02) for y, x in spots)
    return np.uint8(np.clip(40 + 170 * grey + rng.normal(0, 8, (side, side)), 0, 255))


def write_picture(path: Path, label: int = 0, seed: int = 0) -> Path:
    """Write one picture as PNG, with its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture(label, seed)).save(path)
    return path


def class_folders(
    root: Path, *, runs: int = 3, frames: int = 2, classes: Sequence[str] = CLASSES, seed: int = 0
) -> Path:
    """Write ``root/<class>/<run>/<frame>.png``; run names are unique among all classes."""
    for label, name in enumerate(classes):
        for run in range(runs):
            for frame in range(frames):
                write_picture(
                    root / name / f"{name}-run{run}" / f"{frame}.png", label, seed + 100 * run + frame
                )
    return root
