"""Image files for the decoder's tests, in every way that Pillow writes them and in some that it does not."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from inspector.errors import ImageError
from inspector.imaging import decoder

RANDOM = np.random.default_rng(0)
FRAME: NDArray[np.uint8] = RANDOM.integers(0, 256, (30, 40), dtype=np.uint8)
# A slow gradient: lossy formats and palettes come close to it.
SMOOTH: NDArray[np.uint8] = np.add.outer(np.arange(64), np.arange(96)).astype(np.uint8)


def encode(pixels: NDArray[Any] | Image.Image, form: str = "PNG", **options: Any) -> bytes:
    """Encode one image file."""
    stream = io.BytesIO()
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(stream, form, **options)
    return stream.getvalue()


def refusal(data: bytes, **limits: Any) -> ImageError:
    """Return the error that decoding ends in."""
    with pytest.raises(ImageError) as caught:
        decoder.decode(data, **limits)
    assert "\n" not in str(caught.value)
    return caught.value


def png_chunk(name: bytes, content: bytes) -> bytes:
    """One PNG chunk with its checksum."""
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def tiff(bits: int, photometric: int, pixels: bytes) -> bytes:
    """A grey TIFF of FRAME's size whose one strip holds ``pixels``; Pillow does not write these kinds."""
    height, width = FRAME.shape
    fields = {256: width, 257: height, 258: bits, 259: 1, 262: photometric, 278: height, 279: len(pixels)}
    fields[273] = 8 + 2 + 12 * (len(fields) + 1) + 4  # where the strip begins: right behind the directory
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, fields[tag]) for tag in sorted(fields))
    return b"II*\0" + struct.pack("<IH", 8, len(fields)) + entries + bytes(4) + pixels


def with_chunk(png: bytes, chunk: bytes) -> bytes:
    """Put a chunk right after the PNG's header chunk."""
    return png[:33] + chunk + png[33:]
