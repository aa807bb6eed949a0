"""Every layout of BMP is read by the rules of its header, or refused at once by name."""

from __future__ import annotations

import io
import struct
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from inspector.errors import ImageError
from inspector.imaging import decoder

HEIGHT, WIDTH = 24, 37
RED, GREEN, BLUE = (
    np.add.outer(np.arange(HEIGHT) * a, np.arange(WIDTH) * b) % 256 for a, b in ((5, 3), (2, 7), (11, 1))
)
LUMA = (299 * RED + 587 * GREEN + 114 * BLUE) / 1000


def bmp(
    rows: NDArray[Any], bits: int, header: int = 40, packing: int = 0, masks: tuple[int, ...] = (),
    palette: bytes = b"", top_down: bool = False, packed: bytes = b"",
) -> bytes:  # fmt: skip
    """A BMP by the specification; ``rows`` are bytes, first the upper row."""
    lines = [line.tobytes() for line in (rows if top_down else rows[::-1])]
    body = packed or b"".join(line.ljust(-(-len(line) // 4) * 4, b"\0") for line in lines)
    if header == 12:
        head = struct.pack("<IHHHH", 12, WIDTH, HEIGHT, 1, bits)
    else:
        height = -HEIGHT if top_down else HEIGHT
        colours = len(palette) // 4
        head = struct.pack("<IiiHHIIiiII", 40, WIDTH, height, 1, bits, packing, len(body), 0, 0, colours, 0)
        fields = struct.pack(f"<{len(masks)}I", *masks)
        head = struct.pack("<I", header) + head[4:] + fields
        head = head.ljust(header, b"\0")
    start = 14 + len(head) + len(palette)
    return struct.pack("<2sIHHI", b"BM", start + len(body), 0, 0, start) + head + palette + body


def words(masks: tuple[int, ...], dtype: str) -> NDArray[Any]:
    """The colours put into the bits of masks, as bytes."""
    values = np.zeros((HEIGHT, WIDTH), np.uint64)
    for colour, mask in zip((RED, GREEN, BLUE), masks, strict=False):
        low = (mask & -mask).bit_length() - 1
        top = mask >> low
        values |= (np.round(colour * top / 255).astype(np.uint64)) << np.uint64(low)
    return values.astype(dtype).view(np.uint8).reshape(HEIGHT, -1)


X555, X565 = (0x7C00, 0x3E0, 0x1F), (0xF800, 0x7E0, 0x1F)
BGR, XBGR, RGB = (0xFF0000, 0xFF00, 0xFF), (0xFF000000, 0xFF0000, 0xFF00), (0xFF, 0xFF00, 0xFF0000)
ODD = (0x3FF00000, 0xFFC00, 0x3FF)  # ten bits for each colour


@pytest.mark.parametrize("top_down", [False, True])
@pytest.mark.parametrize("header", [40, 52, 56, 108, 124])
@pytest.mark.parametrize(
    ("bits", "packing", "masks"),
    [
        *[(16, 0, ()), (24, 0, ()), (32, 0, ()), (16, 3, X555), (16, 3, X565)],
        *[(32, 3, BGR), (32, 3, XBGR), (32, 3, RGB), (32, 3, ODD), (16, 3, (0xF00, 0xF0, 0xF))],
        *[(32, 3, (0, 0, 0)), (32, 6, BGR)],
    ],
)
def test_colour_is_read_by_its_bit_fields_or_refused(
    bits: int, packing: int, masks: tuple[int, ...], header: int, top_down: bool
) -> None:
    """Each order of the colours gives their luma, in every header and from top or bottom; else a refusal."""
    used = masks if any(masks) else {16: X555, 32: BGR, 24: BGR}[bits]
    if bits == 24:
        rows = np.dstack([BLUE, GREEN, RED]).astype(np.uint8).reshape(HEIGHT, -1)
    else:
        rows = words(used, "<u2" if bits == 16 else "<u4")
    with_alpha = (*masks, 0xFF000000 if masks == RGB else 0) if masks and header >= 56 else masks
    data = bmp(rows, bits, header, packing, with_alpha, top_down=top_down)
    known = masks in ((), X555, X565, BGR, XBGR) or (masks == RGB and header >= 56)
    if known and packing != 6:
        assert np.abs(decoder.decode(data) - LUMA).max() <= (1 if bits > 16 else 6)
    else:
        with pytest.raises(ImageError) as caught:
            decoder.decode(data)
        assert (caught.value.reason, caught.value.retry) == ("unsupported", False)


@pytest.mark.parametrize("header", [12, 40, 64, 124])
@pytest.mark.parametrize("bits", [1, 4, 8])
@pytest.mark.parametrize("kind", ["colours", "ramp", "inverted", "black and white"])
def test_a_palette_is_looked_up_or_the_file_is_refused(bits: int, header: int, kind: str) -> None:
    """Palettes of colours and grey ramps are looked up; those that Pillow mixes up are refused."""
    count = 1 << bits
    table = {
        "colours": np.random.default_rng(bits).integers(0, 256, (count, 3)),
        "ramp": np.repeat(np.arange(count), 3).reshape(-1, 3),
        "inverted": np.repeat(255 - np.arange(count), 3).reshape(-1, 3),
        "black and white": np.array([[0, 0, 0], [255, 255, 255]]),
    }[kind].astype(np.uint8)
    indices = ((RED + GREEN) % len(table)).astype(np.uint8)
    if bits == 8:
        rows = indices
    else:
        wide = np.unpackbits(indices[..., None], axis=2)[..., 8 - bits :].reshape(HEIGHT, -1)
        rows = np.packbits(wide, axis=1)
    if header == 12:  # a palette of this header is whole
        table = np.vstack([table, np.zeros((count - len(table), 3), np.uint8)])
        palette = table[:, ::-1].tobytes()
    else:
        palette = np.hstack([table[:, ::-1], np.zeros((len(table), 1), np.uint8)]).tobytes()
    data = bmp(rows, bits, header, palette=palette)
    expected = (table.astype(int) @ np.array([299, 587, 114]) / 1000)[indices]
    try:
        pixels = decoder.decode(data)
    except ImageError as error:
        assert (error.reason, error.retry) == ("unsupported", False)
        assert kind in ("ramp", "black and white")
    else:
        assert np.abs(pixels - expected).max() <= 1


@pytest.mark.parametrize("bits", [4, 8])
def test_run_lengths_are_read(bits: int) -> None:
    """Rows packed as runs and as absolute pieces give their pixels."""
    indices = ((RED // 16) % (1 << bits)).astype(np.uint8)
    palette = b"".join(bytes([v, v, v, 0]) for v in range(255, 255 - (1 << bits), -1))
    packed = b""
    for number, line in enumerate(indices[::-1]):
        if number % 2:
            packed += b"".join(bytes([1, v << 4 if bits == 4 else v]) for v in line.tolist())
        else:
            pieces = (
                line
                if bits == 8
                else np.array([(a << 4) | b for a, b in zip(line[::2], [*line[1::2], 0], strict=True)])
            )
            body = pieces.astype(np.uint8).tobytes()
            packed += bytes([0, WIDTH]) + body + bytes(len(body) % 2)
        packed += b"\0\0"
    data = bmp(indices, bits, packing=1 if bits == 8 else 2, palette=palette, packed=packed + b"\0\1")
    assert np.array_equal(decoder.decode(data), 255 - indices)


@pytest.mark.parametrize(("bits", "packing"), [(24, 4), (24, 5), (32, 6), (8, 3), (2, 0), (64, 0)])
def test_other_layouts_are_unsupported_at_once(bits: int, packing: int) -> None:
    """Pictures packed as JPEG or PNG in a BMP, and odd numbers of bits, are not called corrupt."""
    data = bmp(np.zeros((HEIGHT, WIDTH * 8), np.uint8), bits, packing=packing)
    with pytest.raises(ImageError) as caught:
        decoder.decode(data)
    assert (caught.value.reason, caught.value.retry) == ("unsupported", False)


def test_a_header_that_states_no_size_is_enough() -> None:
    """Some writers leave the file's size at 0: the pixels that the header asks for decide."""
    stream = io.BytesIO()
    Image.fromarray(RED.astype(np.uint8)).save(stream, "BMP")
    data = bytearray(stream.getvalue())
    data[2:6] = bytes(4)
    assert np.array_equal(decoder.decode(bytes(data)), RED)
    with pytest.raises(ImageError) as caught:
        decoder.decode(bytes(data[:-1]))
    assert (caught.value.reason, caught.value.retry) == ("truncated", True)


def of_runs(packed: bytes, stated: int | None = None) -> bytes:
    """A BMP of 8-bit grey whose pixels are packed by run lengths."""
    palette = b"".join(bytes([value] * 3 + [0]) for value in range(256))
    data = bytearray(bmp(RED, 8, packing=1, palette=palette, packed=packed))
    if stated is not None:
        struct.pack_into("<I", data, 2, stated)
    return bytes(data)


ROW = bytes([0, WIDTH]) + bytes(range(WIDTH)) + bytes(WIDTH % 2)


@pytest.mark.parametrize(
    ("packed", "reason"),
    [
        (b"\0\0" + (ROW + b"\0\0") * (HEIGHT - 1) + b"\0\1", "unsupported"),
        (ROW[:2] + ROW[2:] + b"\0\2\0\1" + (ROW + b"\0\0") * (HEIGHT - 1) + b"\0\1", "unsupported"),
        (b"\x0a\x07\0\0" + (ROW + b"\0\0") * (HEIGHT - 1) + b"\0\1", "unsupported"),
        (ROW * HEIGHT + b"\0\1", "corrupt"),
        ((ROW + b"\0\0") * (HEIGHT - 2) + b"\0\1" + bytes(99), "truncated"),
    ],
    ids=["an empty row", "a jump", "a short row", "no ends of rows", "too few rows"],
)
def test_run_lengths_of_rows_that_are_not_full_are_refused(packed: bytes, reason: str) -> None:
    """Pillow moves the rows behind an empty one, and wraps runs into the next row: other pixels."""
    with pytest.raises(ImageError) as caught:
        decoder.decode(of_runs(packed))
    assert caught.value.reason == reason


@pytest.mark.parametrize("stated", [None, 0])
def test_a_picture_behind_run_lengths_is_found(stated: int | None) -> None:
    """The end of packed pixels is known from the pixels, also without the file's size in the header."""
    one = of_runs((ROW + b"\0\0") * HEIGHT + b"\0\1", stated)
    assert decoder.decode(one).shape == (HEIGHT, WIDTH)
    with pytest.raises(ImageError) as caught:
        decoder.decode(one + one)
    assert caught.value.reason == "multi_frame"


@pytest.mark.parametrize("bits", [1, 4, 8])
def test_a_pixel_without_a_colour_is_refused(bits: int) -> None:
    """A short palette is enough for pixels that it covers; one pixel beyond it makes the file damaged."""
    count = (1 << bits) - 1
    palette = np.random.default_rng(4).integers(0, 256, (count, 4), dtype=np.uint8)
    indices = ((RED + GREEN) % count).astype(np.uint8)
    for last in (count - 1, count):
        indices[-1, -1] = last
        packed = np.packbits(
            np.unpackbits(indices[..., None], axis=2)[..., 8 - bits :].reshape(HEIGHT, -1), axis=1
        )
        data = bmp(packed, bits, palette=palette.tobytes())
        if last < count:
            assert decoder.decode(data).shape == (HEIGHT, WIDTH)
        else:
            with pytest.raises(ImageError) as caught:
                decoder.decode(data)
            assert caught.value.reason == "corrupt"
