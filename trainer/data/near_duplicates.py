"""Near-duplicates: frames that are copies of each other, turned, mirrored, or brightened.

Neighbours in a video are near-duplicates, too. The frames of most sets look alike as a whole: the same part
in the same place. So the mean frame of the set is subtracted, and only the rests of two frames are compared:

1. Each frame has a *signature*, as in perceptual hashes: the lowest waves of its cosine transform, whitened,
   so that what many frames have in common counts little. Numbers instead of a hash's bits cost no more,
   because products of matrices compare them. Frames are compared under the eight turns and mirrors.
2. A pair with similar signatures is *verified*: its thumbnails correlate under the turn that matched.

A copy that shows 97% of each side is mostly found, one of 95% often not. The limits were chosen by looking at
the pairs near them, in eight sets of real images (docs/measurements/near-duplicates.md).
"""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from inspector.imaging.decoder import ImageError, read_image
from trainer.data.datasets import Frame
from trainer.data.resizing import prepare

log = logging.getLogger(__name__)

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]

THUMBNAIL_SIDE = 64  # pixels
_WAVES_PER_SIDE = 12  # of the cosine transform: 143 numbers, without the mean
MIN_SIGNATURE = 0.8  # cosine of two signatures
MIN_CORRELATION = 0.85  # of two thumbnails
MIN_CONTRAST = 1.0  # grey levels, standard deviation: a blank frame is like every other one
_TURNS = 8
_BLOCK = 512  # frames whose signatures are compared with all others at once: 40 MB at 20,000 frames


MAX_KEPT_THUMBNAILS = 32_768  # 134 MB: a sweep reads the same frames for each of its runs


def first_alike(
    frames: Sequence[Frame], *, bit_depth: int, advance: Callable[[], None] = lambda: None
) -> dict[str, str]:
    """Return for the name of each frame the name of the first frame that it is a near-duplicate of.

    Copies with the same bytes count as one frame. One line of the log says how many were found.

    Args:
        frames: with the hashes of their files.
        bit_depth: see :func:`inspector.imaging.decoder.decode`.
        advance: called after each frame, from several threads.
    """
    firsts = {frame.sha256 or frame.name: frame for frame in reversed(frames)}

    def read(frame: Frame) -> Bytes | None:
        is_first = firsts[frame.sha256 or frame.name] is frame
        found = _read(frame.path, frame.sha256, bit_depth) if is_first else None
        advance()
        return found

    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:  # Pillow and torch release the GIL
        rows = groups_of_thumbnails(list(pool.map(read, frames)))
    alike = {frame.name: frames[row].name for frame, row in zip(frames, rows, strict=True)}
    alike = {frame.name: alike[firsts[frame.sha256 or frame.name].name] for frame in frames}
    sizes = [size for size in Counter(alike.values()).values() if size > 1]
    found = f"{sum(sizes)} of {len(frames)} frames without a run are near-duplicates of each other"
    groups_found = f", in {len(sizes)} group{'s' * (len(sizes) > 1)}; the split divides none" if sizes else ""
    log.info("%s%s", found, groups_found)
    return alike


def groups(
    images: Sequence[Path] | Sequence[Bytes] | Tensor,
    *,
    bit_depth: int = 8,
    advance: Callable[[], None] = lambda: None,
) -> list[int]:
    """Return for each frame the row of the first frame that it is a near-duplicate of, or its own row.

    Near-duplicates of near-duplicates are in one group. A frame that is blank, or cannot be read, is alone.

    Args:
        images: paths, grey frames ``uint8[h, w]``, or a tensor ``uint8[N, 1, h, w]``.
        bit_depth: see :func:`inspector.imaging.decoder.decode`.
        advance: called after each frame that is read, from several threads.
    """

    def read(image: Path | Bytes) -> Bytes | None:
        found = _read(image, None, bit_depth) if isinstance(image, Path) else thumbnail(image)
        advance()
        return found

    each = images[:, 0].cpu().numpy() if isinstance(images, Tensor) else images
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        return groups_of_thumbnails(list(pool.map(read, each)))


@lru_cache(MAX_KEPT_THUMBNAILS)
def _read(path: Path, sha256: str | None, bit_depth: int) -> Bytes | None:
    """Read the thumbnail of an image; None if it cannot be read. Its hash is for the cache."""
    try:
        return thumbnail(read_image(path, bit_depth=bit_depth))
    except ImageError:
        return None


def thumbnail(pixels: Bytes) -> Bytes:
    """Return a frame's thumbnail, ``uint8[64, 64]``, whatever its shape."""
    frame = torch.from_numpy(np.array(pixels))[None]  # a copy, because torch wants memory that it may write
    thumbnail: Bytes = prepare(frame, THUMBNAIL_SIDE, THUMBNAIL_SIDE)[0].numpy()
    return thumbnail


def groups_of_thumbnails(thumbnails: Sequence[Bytes | None]) -> list[int]:
    """Return what :func:`groups` returns, for the thumbnails of frames; None for one that cannot be read."""
    seen = {
        row: each for row, each in enumerate(thumbnails) if each is not None and each.std() >= MIN_CONTRAST
    }
    first = list(range(len(thumbnails)))
    if len(seen) > 1:
        rows = list(seen)
        for row, group in zip(rows, _link(np.stack(list(seen.values()))), strict=True):
            first[row] = rows[group]
    return first


def _link(thumbnails: Bytes) -> list[int]:
    """Return the first row of each frame's group."""
    mean = sum(_standard(block).sum(axis=0) for block in _blocks(thumbnails)) / np.float32(len(thumbnails))
    signatures = _signatures(thumbnails, mean)
    first = np.arange(len(thumbnails))
    for start in range(0, len(thumbnails), _BLOCK):
        block = signatures[0, start : start + _BLOCK]
        best = np.full((len(block), len(thumbnails) - start), -1, np.float32)
        turn_of = np.zeros(best.shape, np.uint8)
        for turn in range(_TURNS):
            cosines = block @ signatures[turn, start:].T
            better = cosines > best
            best[better], turn_of[better] = cosines[better], turn
        for row, (cosines, turns) in enumerate(zip(best, turn_of, strict=True), start=start):
            others = start + np.flatnonzero(cosines >= MIN_SIGNATURE)
            others = others[(others > row) & (first[others] != first[row])]
            if len(others):
                rests = np.stack([_turned(thumbnails[each], turns[each - start]) for each in others])
                correlations = _rests(rests, mean) @ _rests(thumbnails[row, None], mean)[0]
                linked = np.append(first[others[correlations >= MIN_CORRELATION]], first[row])
                first[np.isin(first, linked)] = linked.min()
    return [int(row) for row in first]


def _signatures(thumbnails: Bytes, mean: Floats) -> Floats:
    """Return the signatures of each frame under each turn, ``[8, N, 143]``, each of length 1."""
    wave = np.arange(_WAVES_PER_SIDE)[:, None]
    phase = np.pi * (np.arange(THUMBNAIL_SIDE) + 0.5) / THUMBNAIL_SIDE
    cosines = np.cos(wave * phase).astype(np.float32)  # the transform's rows (DCT-II)
    waves = np.concatenate([cosines @ _standard(block) @ cosines.T for block in _blocks(thumbnails)])
    sign = np.where(np.arange(_WAVES_PER_SIDE) % 2, -1, 1).astype(np.float32)  # of a mirrored wave
    rests = np.empty((_TURNS, len(waves), _WAVES_PER_SIDE**2 - 1), np.float32)
    for turn in range(_TURNS):
        turned = np.swapaxes(waves, 1, 2) if turn & 4 else waves
        turned = turned * (sign[:, None] if turn & 2 else 1) * (sign if turn & 1 else 1)
        rests[turn] = (turned - cosines @ mean @ cosines.T).reshape(len(waves), -1)[:, 1:]
    whitening = _whitening(rests[0])
    return np.stack([_unit(rest @ whitening) for rest in rests])


def _whitening(rests: Floats) -> Floats:
    """Return the matrix that gives each way in which the frames of a set differ about the same weight.

    Otherwise frames of one class would be near-duplicates of each other, if the classes differ by one large
    thing. Half of the covariance is that of independent waves (the 1 below). Without it, noise would count as
    much as what few frames show.
    """
    spread = rests.std(axis=0)
    spread += spread.mean() / 10  # so that a wave that no frame has does not become the loudest
    scaled = rests / spread
    values, vectors = np.linalg.eigh(scaled.T @ scaled / len(scaled))
    whitening: Floats = (vectors / np.sqrt(np.maximum(values, 0) + 1) @ vectors.T) / spread[:, None]
    return whitening.astype(np.float32)


def _turned(thumbnail: Bytes, turn: int) -> Bytes:
    turned = thumbnail.T if turn & 4 else thumbnail
    return turned[:: -1 if turn & 2 else 1, :: -1 if turn & 1 else 1]


def _rests(thumbnails: Bytes, mean: Floats) -> Floats:
    """Return the difference of thumbnails to the set's mean, ``[N, 64·64]``, each of length 1."""
    rests = (_standard(thumbnails) - mean).reshape(len(thumbnails), -1)
    return _unit(rests - rests.mean(axis=1, keepdims=True))


def _standard(thumbnails: Bytes) -> Floats:
    """Return thumbnails with mean 0 and contrast 1, so that brightness and contrast make no difference."""
    values = thumbnails.astype(np.float32)
    values -= values.mean(axis=(1, 2), keepdims=True)
    values /= values.std(axis=(1, 2), keepdims=True)
    return values


def _unit(vectors: Floats) -> Floats:
    unit: Floats = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-6)
    return unit


def _blocks(thumbnails: Bytes) -> list[Bytes]:
    return [thumbnails[start : start + _BLOCK] for start in range(0, len(thumbnails), _BLOCK)]
