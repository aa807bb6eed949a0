"""Frames in memory: every image is decoded once, before training starts, at the size training needs.

The paper crops 600×731 of 800×974 and scales that to 400×487: every crop by the same 2/3. So the scaling can
come first, once for each frame and not once an epoch: a frame is kept at H/0.75 × W/0.75 (649×533 pixels,
338 KiB at the paper's setting), and the crop that is then taken has H×W pixels and all the sharpness that
cropping the camera's frame first would have given.
"""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from inspector.imaging.decoder import ImageError, read_image
from trainer.data.datasets import Frame
from trainer.errors import DataError, Problem, UsageError

log = logging.getLogger(__name__)

SIZE_SAMPLE_FRAMES = 20  # decoded to learn the data's size
MAX_SHARE_OF_FREE_MEMORY = 0.6  # the rest is for networks, activations and everybody else


@dataclass(frozen=True)
class FrameSet:
    """Decoded frames: ``images`` uint8[N, 1, h, w], ``labels`` int64[N], ``frames`` as listed."""

    images: Tensor
    labels: Tensor
    frames: list[Frame]

    @property
    def runs(self) -> list[str | None]:
        """The run of each frame."""
        return [frame.run for frame in self.frames]

    def __len__(self) -> int:
        return len(self.frames)


def training_size(height: int, width: int, smallest_crop: float) -> tuple[int, int]:
    """Pixels at which a training frame is kept so that its smallest crop needs no enlarging.

    Args:
        height: of the views that networks learn from, pixels.
        width: of the same.
        smallest_crop: share of each side.
    """
    return round(height / smallest_crop), round(width / smallest_crop)


def choose_view_size(
    frames: Sequence[Frame], max_pixels: int, bit_depth: int, enlarge: float = 1.0
) -> tuple[int, int]:
    """Height and width of what networks learn from, where the recipe leaves them to the data.

    The median size of a sample of the frames in its own shape, shrunk to at most ``max_pixels``; smaller
    frames are enlarged towards them, each side at most ``enlarge`` times, and to the 64 pixels a side that
    the network needs. Even numbers, which convolutions like.

    Raises:
        DataError: none of the sample can be read.
    """
    sides, unreadable = [], []
    for frame in frames[:: max(1, len(frames) // SIZE_SAMPLE_FRAMES)]:
        try:
            sides.append(read_image(frame.path, bit_depth=bit_depth).shape)
        except ImageError as error:
            unreadable.append(Problem("unreadable image", f"{frame.path} ({error})"))
    if not sides:
        raise DataError("the data", unreadable or [Problem("nothing to read", "there are no frames")])
    height, width = np.median(np.array(sides), axis=0)
    scale = min(enlarge, float(np.sqrt(max_pixels / (height * width))))
    return max(64, round(height * scale / 2) * 2), max(64, round(width * scale / 2) * 2)


def load(
    frames: Sequence[Frame],
    *,
    size: tuple[int, int],
    resize: Callable[[Tensor], Tensor],
    bit_depth: int,
    problems: list[Problem],
    spill_folder: Path | None = None,
    advance: Callable[[], None] = lambda: None,
) -> FrameSet:
    """Decode frames with the inspector's decoder and keep them at one size.

    Args:
        frames: what to read.
        size: height and width to keep, pixels.
        resize: uint8[1, h, w] → uint8[1, *size]: the one ``prepare``, this package's or an artifact's.
        bit_depth: see :func:`inspector.imaging.decoder.decode`.
        problems: gets every image that cannot be read, by name; its row stays black.
        spill_folder: for a file that takes the frames where memory cannot; None: the temporary folder.
        advance: called after each frame, from several threads.

    Raises:
        UsageError: neither memory nor disk can take the frames.
    """
    images = _allocate(len(frames), size, spill_folder)

    def decode(row: int) -> Problem | None:
        try:
            pixels = read_image(frames[row].path, bit_depth=bit_depth)
            images[row] = resize(torch.from_numpy(pixels)[None])
        except ImageError as error:
            return Problem("unreadable image", f"{frames[row].path} ({error})", frames[row].path)
        finally:
            advance()
        return None

    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:  # Pillow and torch release the GIL
        problems.extend(problem for problem in pool.map(decode, range(len(frames))) if problem)
    return FrameSet(images, torch.tensor([frame.label for frame in frames], dtype=torch.int64), list(frames))


def _allocate(count: int, size: tuple[int, int], spill_folder: Path | None) -> Tensor:
    """uint8[count, 1, *size] of zeros: in memory, or in a nameless file where memory is short."""
    shape = (count, 1, *size)
    need, free = count * size[0] * size[1], available_memory()
    need_text = f"{count} frames of {size[1]}×{size[0]} pixels take {need / 1e6:.0f} MB"
    if need <= MAX_SHARE_OF_FREE_MEMORY * free:
        log.info("%s of memory", need_text)
        return torch.zeros(shape, dtype=torch.uint8)
    folder = spill_folder or Path(tempfile.gettempdir())
    disk = shutil.disk_usage(folder).free
    if need > disk:
        raise UsageError(
            f"{need_text}; {free / 1e6:.0f} MB of memory and {disk / 1e6:.0f} MB in {folder} are free: "
            "free some, or set a smaller network.height and network.width"
        )
    log.warning(
        "%s: more than memory can take (%.0f MB free), so they go to a file in %s",
        need_text,
        free / 1e6,
        folder,
    )
    with tempfile.TemporaryFile(dir=folder) as stream:  # nameless: it goes with the process
        return torch.from_numpy(np.memmap(stream, dtype=np.uint8, mode="w+", shape=shape))


def available_memory() -> int:
    """Bytes that this process may still take: the system's word, or its control group's if that is less."""
    meminfo = dict(
        line.split(":", 1) for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    )
    free = int(meminfo["MemAvailable"].split()[0]) * 1024
    group = Path("/sys/fs/cgroup")
    try:
        limit = (group / "memory.max").read_text(encoding="ascii").strip()
        used = int((group / "memory.current").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return free  # no control group, or one of another layout
    return free if limit == "max" else min(free, max(0, int(limit) - used))
