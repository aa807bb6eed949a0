"""Frames that decode and still show no weld: blank, saturated or unfinished."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from inspector.imaging.decoder import Picture


def flaw_of(picture: Picture) -> str | None:
    """Return why a decoded image must be looked at by a person: a flaw of its pixels, or of its file."""
    return find_flaw(picture.pixels) or picture.flaw


def find_flaw(pixels: NDArray[np.uint8]) -> str | None:
    """Return why a frame shows no weld although it decodes, or None; people must look at such a frame.

    The limits are far from the real frames of two data sets (SS304, 120; X-SDD, 700): their 1st to 99th
    percentile spans at least 12 grey levels, at most 23% of their pixels are saturated, and none has a black
    row.

    Args:
        pixels: uint8[h, w].

    Returns:
        ``blank`` (1st to 99th percentile within 8 levels: lens cap, dead sensor, constant grey),
        ``saturated`` (over half of the pixels at 254 or 255: exposure, or the arc in the lens), or
        ``unfinished`` (a quarter of the rows or more, from the top or the bottom, exactly 0: an uncompressed
        file whose tail was never written decodes so, while a sensor's dark rows have noise).
    """
    step = max(1, min(pixels.shape) // 128)  # some 16,000 samples are enough for a percentile
    counts = np.bincount(pixels[::step, ::step].ravel(), minlength=256)
    share = np.cumsum(counts) / counts.sum()
    if np.searchsorted(share, 0.99) - np.searchsorted(share, 0.01) < 8:
        return "blank"
    if counts[254:].sum() / counts.sum() > 0.5:
        return "saturated"
    edge = -(-len(pixels) // 4)
    if not pixels[:edge].any() or not pixels[-edge:].any():
        return "unfinished"
    return None
