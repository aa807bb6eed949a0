"""PNG pixels inflated by ISA-L instead of Pillow's zlib: Pillow must see the same picture."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from inspector.imaging import png

RANDOM = np.random.default_rng(0)
SIGNATURE = b"\x89PNG\r\n\x1a\n"


def chunk(name: bytes, content: bytes) -> bytes:
    """One chunk with its checksum."""
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png_of(rows: bytes, *, width: int, height: int, depth: int = 8, colour: int = 0, parts: int = 1) -> bytes:
    """A PNG with the given filtered rows, in as many pixel chunks as wanted."""
    packed = zlib.compress(rows)
    step = -(-len(packed) // parts)
    pixels = b"".join(chunk(b"IDAT", packed[start : start + step]) for start in range(0, len(packed), step))
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return SIGNATURE + chunk(b"IHDR", header) + pixels + chunk(b"IEND", b"")


def pixels_of(content: bytes) -> tuple[str, bytes]:
    """Pixels of a PNG, as Pillow decodes them."""
    with Image.open(io.BytesIO(content)) as image:
        image.load()
        return image.mode, image.tobytes()


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
@pytest.mark.parametrize("size", [(40, 30), (9, 400), (1031, 97)])
def test_every_kind_of_pixel_survives(mode: str, size: tuple[int, int]) -> None:
    """A picture of any colour type is the same picture with stored pixels, palette included."""
    grey = Image.fromarray(RANDOM.integers(0, 256, size, dtype=np.uint8))
    if mode == "I;16":
        image = Image.fromarray(RANDOM.integers(0, 65536, size, dtype=np.uint16))
    else:
        image = grey.convert(mode)
    stream = io.BytesIO()
    image.save(stream, "PNG")
    quick = png.with_stored_pixels(stream.getvalue())
    assert quick is not None
    assert pixels_of(quick) == pixels_of(stream.getvalue())
    png.check_sums(quick)


@settings(max_examples=60, deadline=None)
@given(
    width=st.integers(8, 300),
    height=st.integers(8, 300),
    kinds=st.lists(st.integers(0, 4), min_size=1, max_size=9),
    parts=st.integers(1, 5),
    seed=st.integers(0, 2**32 - 1),
)
def test_every_filter_in_any_number_of_chunks(
    width: int, height: int, kinds: list[int], parts: int, seed: int
) -> None:
    """Rows of all five filters, in pixel chunks cut anywhere, equal those of Pillow alone."""
    rows = np.random.default_rng(seed).integers(0, 256, (height, width + 1), dtype=np.uint8)
    rows[:, 0] = np.resize(kinds, height)
    content = png_of(rows.tobytes(), width=width, height=height, parts=parts)
    quick = png.with_stored_pixels(content)
    assert quick is not None
    assert pixels_of(quick) == pixels_of(content)


def test_rows_too_few_or_damaged_are_left_to_pillow() -> None:
    """Pixels that do not inflate to the size in the header are left to Pillow."""
    short = png_of(bytes(20 * 41), width=40, height=30)
    assert png.with_stored_pixels(short) is None
    whole = bytearray(png_of(bytes(RANDOM.integers(0, 256, 30 * 41, dtype=np.uint8)), width=40, height=30))
    whole[60:70] = bytes(10)
    assert png.with_stored_pixels(bytes(whole)) is None


def test_pixels_that_inflate_to_gigabytes_take_no_more_than_the_header_says() -> None:
    """Rows after the last one are never inflated."""
    bomb = png_of(bytes(100_000_000), width=40, height=30)
    quick = png.with_stored_pixels(bomb)
    assert quick is not None
    assert len(quick) < 2000
    assert pixels_of(quick) == ("L", bytes(40 * 30))


def test_a_large_picture_is_left_to_pillow() -> None:
    """A picture with many bytes per pixel is left to Pillow, which inflates it piece by piece."""
    rows = bytes(1800 * (1 + 2400 * 8))
    assert png.with_stored_pixels(png_of(rows, width=2400, height=1800, depth=16, colour=6)) is None
    few = rows[: 1200 * (1 + 2400 * 8)]
    assert png.with_stored_pixels(png_of(few, width=2400, height=1200, depth=16, colour=6))
