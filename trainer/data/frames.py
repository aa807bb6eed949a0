"""Frames in memory: every image is decoded once, before training, at the size that training needs.

The paper crops 600×731 of 800×974 pixels and scales the crop to 400×487: always by 2/3. So frames can be
scaled first, once instead of once per epoch. A frame is kept at H/0.75 × W/0.75 (649×533 pixels, 338 KiB at
the paper's setting). A crop of it has H×W pixels, and is as sharp as a crop of the camera's frame.
"""

from __future__ import annotations

import logging
import math
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from inspector.imaging.decoder import ImageError, content_hash, read_image, read_picture
from trainer.data.datasets import Frame
from trainer.errors import DataError, Problem, UsageError

log = logging.getLogger(__name__)

MIN_SIDE = 64  # pixels: WeldNet's stride
MAX_STRETCH = 4 / 3  # of a frame's shape, without a warning: the largest that 'best' makes on purpose
SIZE_SAMPLE_FRAMES = 20  # decoded to learn the data's size
SMALL_SAMPLE_FRAMES = 5  # the same for a line of the log
MAX_SHARE_OF_FREE_MEMORY = 0.6  # the rest is for networks, activations and other programs


@dataclass(frozen=True)
class FrameSet:
    """Decoded frames: ``images`` uint8[N, 1, h, w], ``labels`` int64[N], ``frames`` as listed.

    ``hashes`` are the frames' content hashes (:func:`content_hash`), empty for a frame that cannot be read.
    ``unused_bits`` is the number of the highest bits that no frame in 16-bit words uses; None without any.
    """

    images: Tensor
    labels: Tensor
    frames: list[Frame]
    hashes: list[str] = field(default_factory=list)
    unused_bits: int | None = None

    @property
    def runs(self) -> list[str | None]:
        """The welding run of each frame."""
        return [frame.run for frame in self.frames]

    @property
    def groups(self) -> list[str]:
        """The frames that belong together: the welding run of each frame, or its name if it has no run."""
        return [frame.run or frame.name for frame in self.frames]

    def __len__(self) -> int:
        return len(self.frames)

    def counts(self, classes: int) -> list[int]:
        """Return the number of frames of each class; a frame without a label counts nowhere."""
        counts: list[int] = torch.bincount(self.labels[self.labels >= 0], minlength=classes).tolist()
        return counts

    def only(self, wanted: Sequence[bool]) -> FrameSet:
        """Return the frames for which ``wanted`` is true."""
        if all(wanted):
            return self
        rows = [row for row, keep in enumerate(wanted) if keep]
        hashes = [self.hashes[row] for row in rows] if self.hashes else []
        return FrameSet(self.images[rows], self.labels[rows], [self.frames[row] for row in rows], hashes)


def training_size(height: int, width: int, smallest_crop: float) -> tuple[int, int]:
    """Return height and width at which training frames are kept, so that the smallest crop is not enlarged.

    Args:
        height: of the views that networks learn from, pixels.
        width: of the same views, pixels.
        smallest_crop: share of each side.
    """
    return round(height / smallest_crop), round(width / smallest_crop)


def choose_view_size(
    frames: Sequence[Frame],
    max_pixels: int,
    bit_depth: int,
    enlarge: float = 1.0,
    *,
    limit: int | None = None,
) -> tuple[int, int]:
    """Choose height and width of the views that networks learn from, if the data decides the size.

    They are the median size of a sample of the frames, reduced to about ``max_pixels``. Smaller frames are
    enlarged up to that, each side at most ``enlarge`` times. A side has at least the 64 pixels that the
    network needs, and an even number, with which convolutions are faster.

    Args:
        frames: of the training part.
        max_pixels: wished for, before sides are rounded.
        bit_depth: see :func:`inspector.imaging.decoder.decode`.
        enlarge: most times that a side is enlarged.
        limit: number of pixels that is never exceeded; None: ``max_pixels``.

    Raises:
        DataError: no frame of the sample can be read.
    """
    sides = _sample_sides(frames, bit_depth)
    height, width = np.median(np.array(sides), axis=0)
    scale = min(enlarge, float(np.sqrt(max_pixels / (height * width))))
    chosen = [max(MIN_SIDE, round(side * scale / 2) * 2) for side in (height, width)]
    if math.prod(chosen) > (limit or max_pixels):
        chosen = [max(MIN_SIDE, math.floor(side * scale / 2) * 2) for side in (height, width)]
    if math.prod(chosen) > max_pixels and min(chosen) == MIN_SIDE:  # a narrow frame, of which one side grew
        chosen[chosen.index(max(chosen))] = max(MIN_SIDE, max_pixels // MIN_SIDE // 2 * 2)
    _warn_of_distortion(sides, chosen[0], chosen[1])
    return chosen[0], chosen[1]


def reduced_size(frames: Sequence[Frame], max_pixels: int, bit_depth: int) -> tuple[int, int]:
    """Return the median height and width of a sample of the frames, reduced to at most ``max_pixels``.

    Raises:
        DataError: no frame of the sample can be read.
    """
    height, width = np.median(np.array(_sample_sides(frames, bit_depth)), axis=0)
    scale = min(1.0, math.sqrt(max_pixels / (height * width)))
    return max(1, math.floor(height * scale)), max(1, math.floor(width * scale))


def median_size(frames: Sequence[Frame], bit_depth: int) -> tuple[int, int]:
    """Return the median height and width of a small sample of the frames.

    Raises:
        DataError: no frame of the sample can be read.
    """
    sides = _sample_sides(frames[:: max(1, len(frames) // SMALL_SAMPLE_FRAMES)], bit_depth)
    height, width = np.median(np.array(sides), axis=0)
    return round(height), round(width)


def _sample_sides(frames: Sequence[Frame], bit_depth: int) -> list[tuple[int, ...]]:
    """Return height and width of a sample of the frames, without those that cannot be read."""
    sides, unreadable = [], []
    for frame in frames[:: max(1, len(frames) // SIZE_SAMPLE_FRAMES)]:
        try:
            sides.append(read_image(frame.path, bit_depth=bit_depth).shape)
        except ImageError as error:
            unreadable.append(Problem("unreadable image", f"{frame.path} ({error})"))
    if not sides:
        raise DataError("the data", unreadable or [Problem("nothing to read", "there are no frames")])
    return sides


def _warn_of_distortion(sides: Sequence[tuple[int, ...]], height: int, width: int) -> None:
    """Warn if frames change their shape by more than an augmentation would."""
    stretches = [(width / height) / (side[1] / side[0]) for side in sides]
    most = max(max(stretch, 1 / stretch) for stretch in stretches)
    if most > MAX_STRETCH:
        sizes = sorted({f"{side[1]}×{side[0]}" for side in sides})
        log.warning(
            "frames of %s pixels become %d×%d, which distorts shapes up to %.1f times; "
            "use frames of one shape, or cut them first",
            ", ".join(sizes[:5]) + (", …" if len(sizes) > 5 else ""),
            width,
            height,
            most,
        )


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
        frames: the frames to read.
        size: height and width of the kept frames, pixels.
        resize: uint8[1, h, w] → uint8[1, *size]: ``prepare`` of this package or of an artifact.
        bit_depth: see :func:`inspector.imaging.decoder.decode`.
        problems: gets every image that cannot be read; its row stays black.
        spill_folder: for a file of frames that do not fit into memory; None: the temporary folder.
        advance: called after each frame, from several threads.

    Raises:
        UsageError: the frames fit neither into memory nor on the disk.
    """
    images = _allocate(len(frames), size, spill_folder)
    hashes = [""] * len(frames)
    unused_bits: list[int] = []

    def decode(row: int) -> Problem | None:
        try:
            picture = read_picture(frames[row].path, bit_depth=bit_depth)
            hashes[row] = content_hash(picture.pixels)
            images[row] = resize(torch.from_numpy(picture.pixels)[None])
            if picture.unused_bits is not None:
                unused_bits.append(picture.unused_bits)
        except ImageError as error:
            return Problem("unreadable image", f"{frames[row].path} ({error})", frames[row].path)
        finally:
            advance()
        return None

    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:  # Pillow and torch release the GIL
        problems.extend(problem for problem in pool.map(decode, range(len(frames))) if problem)
    labels = torch.tensor([frame.label for frame in frames], dtype=torch.int64)
    return FrameSet(images, labels, list(frames), hashes, min(unused_bits, default=None))


def _allocate(count: int, size: tuple[int, int], spill_folder: Path | None) -> Tensor:
    """Return zeros uint8[count, 1, *size], in memory or, if that is too small, in a file without a name."""
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
        "%s: more than fits into memory (%.0f MB free), so they go to a file in %s",
        need_text,
        free / 1e6,
        folder,
    )
    with tempfile.TemporaryFile(dir=folder) as stream:  # without a name: it disappears with the process
        return torch.from_numpy(np.memmap(stream, dtype=np.uint8, mode="w+", shape=shape))


def available_memory() -> int:
    """Return the bytes that this process may still use, by the system and by its control group."""
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
