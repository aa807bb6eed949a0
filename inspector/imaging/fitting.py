"""Frames at the size at which people see them beside others."""

from __future__ import annotations

from PIL import Image


def fitted(frame: Image.Image, side: int) -> Image.Image:
    """Return a frame enlarged or reduced to ``side`` pixels on its longer side.

    A shorter side has at least one pixel. ImageOps.contain rounds that of a long strip to none, and no file
    format takes such a picture.
    """
    scale = side / max(frame.size)
    width, height = (max(1, round(pixels * scale)) for pixels in frame.size)
    return frame.resize((width, height), Image.Resampling.BICUBIC)
