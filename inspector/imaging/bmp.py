"""BMP: the layouts that are known to decode rightly, asked of the header before Pillow loads the file."""

from __future__ import annotations

import struct
from typing import Final

import numpy as np

from inspector.errors import ImageError

HEADER_SIZES: Final = (12, 16, 40, 52, 56, 64, 108, 124)
_OS2_FIRST, _OS2_SECOND, _INFO = 12, 64, 40
_RAW, _RLE8, _RLE4, _BIT_FIELDS = 0, 1, 2, 3
_PACKINGS: Final = {4: "JPEG", 5: "PNG", 6: "bit fields with alpha"}
_MASKS: Final = {  # red, green, blue, alpha
    16: ((0x7C00, 0x3E0, 0x1F, 0), (0xF800, 0x7E0, 0x1F, 0)),
    32: (
        (0xFF0000, 0xFF00, 0xFF, 0),
        (0xFF0000, 0xFF00, 0xFF, 0xFF000000),
        (0xFF000000, 0xFF0000, 0xFF00, 0),
        (0xFF000000, 0xFF0000, 0xFF00, 0xFF),
        (0xFF, 0xFF00, 0xFF0000, 0xFF000000),
    ),
}


def check(bmp: bytes) -> int:
    """Return where the pixels end; refuse a layout that is not known to be read correctly.

    Raises:
        ImageError: ``unsupported``, ``truncated`` or ``corrupt``.
    """
    needed = 26 if bmp[14:15] == b"\x0c" else 70  # of headers, masks and the least pixels
    if len(bmp) < max(needed, int.from_bytes(bmp[2:6], "little")):
        raise ImageError("truncated", "ends before the end of its BMP image", retry=True)
    _, _, start, header = struct.unpack_from("<IIII", bmp, 2)
    if header == _OS2_FIRST:
        width, height, _, bits = struct.unpack_from("<HHHH", bmp, 18)
        packing = colours = 0
    else:
        width, height, _, bits, packing, _, _, _, colours = struct.unpack_from("<iiHHIIiiI", bmp, 18)
    _check_layout(header, bits, packing, height)
    masks = 12 if packing == _BIT_FIELDS and header == _INFO else 0
    alpha = struct.unpack_from("<I", bmp, 66) if header >= 56 else (0,)
    if packing == _BIT_FIELDS and (*struct.unpack_from("<III", bmp, 54), *alpha) not in _MASKS[bits]:
        raise ImageError("unsupported", "is BMP with bit fields of an unusual order")
    colours = (colours or 1 << bits) if bits <= 8 else 0
    palette = 14 + header + masks
    if colours > 1 << min(bits, 8) or start < palette + colours * (3 if header == _OS2_FIRST else 4):
        raise ImageError("corrupt", "has a palette that does not fit its header", retry=True)
    if bits in (4, 8) and _is_misread(bmp[palette:start], colours, 3 if header == _OS2_FIRST else 4):
        raise ImageError("unsupported", f"is BMP with an unusual palette for {bits} bits")
    if packing != _RAW and bits <= 8 and colours < 1 << bits:
        raise ImageError("unsupported", "is BMP with run lengths and a short palette")
    if packing in (_RLE8, _RLE4):
        return _end_of_runs(bmp, start, width, height, bits)
    end: int = start + (width * bits + 31) // 32 * 4 * abs(height)
    if end > len(bmp):
        raise ImageError("truncated", "ends before the end of its BMP image", retry=True)
    if bits <= 8 and colours < 1 << bits:
        _check_indices(bmp[start:end], width, bits, colours)
    return end


def _check_indices(rows: bytes, width: int, bits: int, colours: int) -> None:
    """Refuse pixels that a short palette has no colour for; each reader shows them as something else."""
    lines = np.frombuffer(rows, np.uint8).reshape(-1, (width * bits + 31) // 32 * 4)
    pixels = np.unpackbits(lines, axis=1).reshape(len(lines), -1, bits)[:, :width]
    if (np.packbits(pixels, axis=2) >> (8 - bits)).max(initial=0) >= colours:
        raise ImageError("corrupt", "has pixels that its palette has no colour for", retry=True)


def _check_layout(header: int, bits: int, packing: int, height: int) -> None:
    known = {
        _RAW: (1, 4, 8, 16, 24, 32) if header != _OS2_FIRST else (1, 4, 8, 24),
        _RLE8: (8,),
        _RLE4: (4,),
        _BIT_FIELDS: (16, 32),
    }
    if header not in HEADER_SIZES or header == 16 or bits not in known.get(packing, ()):
        how = f", packed as {_PACKINGS.get(packing, packing)}" if packing else ""
        raise ImageError("unsupported", f"is BMP with {bits} bits and a header of {header} bytes{how}")
    if packing != _RAW and (header == _OS2_SECOND or (packing != _BIT_FIELDS and height < 0)):
        raise ImageError("unsupported", f"is BMP with packing {packing}, which its header does not allow")


def _is_misread(palette: bytes, colours: int, size: int) -> bool:
    """Whether Pillow takes the palette for a grey ramp and the pixels for 8-bit or 1-bit ones, wrongly."""
    ramp = (0, 255) if colours == 2 else range(colours)
    is_ramp = all(palette[i * size : i * size + 3] == bytes([v] * 3) for i, v in enumerate(ramp))
    return is_ramp and (colours <= 16)


def _end_of_runs(bmp: bytes, at: int, width: int, height: int, bits: int) -> int:
    """Return where run lengths end; each row must be full, since Pillow takes others for other ones."""
    x = y = 0
    while at + 2 <= len(bmp):
        count, value = bmp[at], bmp[at + 1]
        at += 2
        if count == 0 and value == 1:
            break
        if count == 0 and value == 0:
            if x != width:
                raise ImageError("unsupported", "is BMP with run lengths that leave pixels out")
            x, y = 0, y + 1
        elif count == 0 and value == 2:
            raise ImageError("unsupported", "is BMP with run lengths that leave pixels out")
        else:
            x += count or value
            if count == 0:
                size = value if bits == 8 else (value + 1) // 2
                at += size + size % 2
            if x > width or y >= height:
                raise ImageError("corrupt", "has run lengths that go beyond its rows", retry=True)
    if y * width + x < width * height or at > len(bmp):
        raise ImageError("truncated", "has fewer rows than its header says", retry=True)
    return at
