"""Grey values of an image file by decoders that the station does not use: libpng, tifffile, and ours for BMP.

The station reads PNG, BMP and TIFF by Pillow, and JPEG by simplejpeg. Here libpng and libjpeg come by way of
imagecodecs, TIFF by tifffile, and BMP by the specification, in plain NumPy.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

import imagecodecs
import numpy as np
import rig  # noqa: F401 - lets the tests' parts be found
from numpy.typing import NDArray
from tiff_layouts import grey_by_tifffile, luma


def grey_levels_off(content: bytes, pixels: NDArray[np.uint8]) -> float | None:
    """The largest difference from the second decoder's grey values, beyond rounding; None if it refuses.

    A picture of another size is 256 levels off.
    """
    kinds = {b"\x89PNG": (_png, 1), b"BM": (_bmp, 1), b"\xff\xd8": (_jpeg, 1)}
    decode, rounding = next(
        (how for head, how in kinds.items() if content.startswith(head)), (grey_by_tifffile, 1)
    )
    if decode is grey_by_tifffile and b"\xff\xd8\xff" in content:
        rounding = 4  # JPEG in TIFF: colour is converted there and back
    try:
        other = decode(content)
    except Exception:  # noqa: BLE001 - each decoder has its own errors for damage
        return None
    if other.shape != pixels.shape:
        return 256.0
    return max(float(np.abs(pixels - other).max()) - rounding, 0.0)


def _png(content: bytes) -> NDArray[np.float64]:
    values = imagecodecs.png_decode(content)
    values = values[..., None] if values.ndim == 2 else values
    if values.dtype == np.uint16:
        values >>= 8
    return _grey(values[..., :1] if values.shape[2] < 3 else values[..., :3])


def _jpeg(content: bytes) -> NDArray[np.float64]:
    """Grey is what libjpeg makes of the luma; inks are inverted, as Adobe's writers store them."""
    try:
        return _grey(imagecodecs.jpeg8_decode(content, outcolorspace="GRAYSCALE")[..., None])
    except Exception:  # noqa: BLE001 - libjpeg makes no grey of four inks
        inks = imagecodecs.jpeg8_decode(content, outcolorspace="CMYK").astype(float)
        return np.asarray(luma(*(inks[..., ink] * inks[..., 3] / 255 for ink in range(3))), np.float64)


def _grey(values: NDArray[Any]) -> NDArray[np.float64]:
    samples = np.moveaxis(values.astype(np.int64), -1, 0)
    return np.asarray(luma(*samples) if len(samples) == 3 else samples[0], np.float64)


# --- BMP by its specification -------------------------------------------------------------------------------


def _bmp(content: bytes) -> NDArray[np.float64]:
    start, header = struct.unpack_from("<II", content, 10)
    if header == 12:
        width, height, _, bits = struct.unpack_from("<HHHH", content, 18)
        packing = colours = 0
    else:
        width, height, _, bits, packing = struct.unpack_from("<iiHHI", content, 18)
        (colours,) = struct.unpack_from("<I", content, 46)
    if packing in (1, 2):
        values = _run_lengths(content[start:], width, height, bits)
    else:
        row = (width * bits + 31) // 32 * 4
        rows = np.frombuffer(content, np.uint8, row * abs(height), start).reshape(abs(height), row)
        values = _samples(rows, width, bits)
    if bits <= 8:
        size = 3 if header == 12 else 4
        entries = np.frombuffer(content, np.uint8, (colours or 1 << bits) * size, 14 + header)
        palette = np.zeros((256, 3), np.int64)  # an index without a colour is black
        palette[: len(entries) // size] = entries.reshape(-1, size)[:, 2::-1]
        values = palette[values]
    elif bits != 24:
        masks = struct.unpack_from("<III", content, 54) if packing == 3 else _usual_masks(bits)
        values = np.stack([_field(values, mask) for mask in masks], axis=-1)
    return _grey(values if height < 0 else values[::-1])


def _samples(rows: NDArray[np.uint8], width: int, bits: int) -> NDArray[np.int64]:
    """Indices, words or colours of each row."""
    if bits == 24:
        return rows[:, : 3 * width].reshape(len(rows), width, 3)[..., ::-1].astype(np.int64)
    if bits > 8:
        words = np.ascontiguousarray(rows).view("<u2" if bits == 16 else "<u4")
        if bits == 32:
            return words[:, :width].astype(np.int64)
        return words[:, :width].astype(np.int64)
    each = np.unpackbits(rows, axis=1).reshape(len(rows), -1, bits)
    return np.packbits(each, axis=2)[:, :width, 0].astype(np.int64) >> (8 - bits)


def _usual_masks(bits: int) -> tuple[int, int, int]:
    return (0x7C00, 0x3E0, 0x1F) if bits == 16 else (0xFF0000, 0xFF00, 0xFF)


def _field(words: NDArray[np.int64], mask: int) -> NDArray[np.int64]:
    low = (mask & -mask).bit_length() - 1
    return (words & mask) * 255 // (mask >> low << low) if low else (words & mask) * 255 // mask


def _run_lengths(packed: bytes, width: int, height: int, bits: int) -> NDArray[np.int64]:
    """Unpack RLE8 or RLE4; what is jumped over has the index 0."""
    values = np.zeros((height, width), np.int64)
    x = y = 0
    for first, second, literal in _codes(packed, bits):
        if literal is None and first == 0:
            x, y = 0, y + 1
        elif literal is None:
            x, y = x + first, y + second
        else:
            count = min(len(literal), width - x)
            values[y, x : x + count] = literal[:count]
            x += len(literal)
    return values


def _codes(packed: bytes, bits: int) -> Iterator[tuple[int, int, list[int] | None]]:
    """Yield pixels, or None with a step: (0, 0) to the next row, else to the right and up."""
    at = 0
    while True:
        count, value = packed[at], packed[at + 1]
        at += 2
        if count:
            pair = (value, value) if bits == 8 else (value >> 4, value & 15)
            yield 1, 0, [pair[number % 2] for number in range(count)]
        elif value == 0:
            yield 0, 0, None
        elif value == 1:
            return
        elif value == 2:
            yield packed[at], packed[at + 1], None
            at += 2
        else:
            length = value if bits == 8 else (value + 1) // 2
            run = packed[at : at + length]
            yield 1, 0, list(run) if bits == 8 else [n for b in run for n in (b >> 4, b & 15)][:value]
            at += length + length % 2
