"""Parts of PNG that Pillow does not check, or does slowly: the end, the checksums, the inflating.

Intel's ISA-L inflates faster than the zlib of Pillow's wheels. It takes a quarter of the time of plain zlib,
which they contain up to 12.2, and about 0.6 of the time of zlib-ng, which they contain from 12.3 on (a frame
of 0.5 MB: 4.2 instead of 7.3 ms). :func:`with_stored_pixels` gives Pillow the same file with its pixels
stored instead of deflated, so Pillow still decides what they mean.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

from isal import isal_zlib

from inspector.errors import ImageError

_MAX_CHUNKS: Final = 100_000  # skipping them takes a second
_CHANNELS: Final = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type (PNG specification, 11.2.1)
_MAX_ROWS_BYTES: Final = 32 << 20  # 32 megapixels of grey: for a moment they are in memory four times
_PIECE_BYTES: Final = 1 << 20  # rows that are inflated only to be counted
_ADAM7: Final = (  # begin and step of each pass, across and down (8.2)
    *((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)),
)
_MAX_BLOCK_BYTES: Final = 0xFFFF  # the most that a stored block holds (RFC 1951, 3.2.4)


def end(png: bytes) -> int | None:
    """Return where the end chunk ends; None if it is not there in full.

    Raises:
        ImageError: ``corrupt``, the header is not the first chunk or not the only one; ``multi_frame``, it
            holds frames of an animation; ``unsupported``; or ``too_large``, more than ``_MAX_CHUNKS`` chunks.
    """
    if png[12:16] == b"CgBI":
        raise ImageError("unsupported", "is Apple's own form of PNG (CgBI); write a standard PNG")
    is_header_wrong = False
    for number, (name, start, stop) in enumerate(_chunks(png)):
        is_header_wrong |= (name == b"IHDR") != (number == 0)
        if name == b"fdAT":
            raise ImageError("multi_frame", "holds several pictures; write one picture to a file")
        if name == b"fcTL" and png[start + 4 : start + 20] != png[16:24] + bytes(8):
            raise ImageError("unsupported", "is an animation whose frame is smaller than its picture")
        if name == b"IEND" and is_header_wrong:
            raise ImageError("corrupt", "has its header twice or too late", retry=True)
        if name == b"IEND":
            return stop + 4 if stop + 4 <= len(png) else None
    return None


def check_sums(png: bytes) -> None:
    """Refuse pixel chunks that fail their checksums; Pillow checks none after the last row.

    Raises:
        ImageError: ``corrupt``.
    """
    view = memoryview(png)
    for name, start, end in _chunks(png):
        if name == b"IDAT" and isal_zlib.crc32(view[start - 4 : end]) != int.from_bytes(png[end : end + 4]):
            raise ImageError("corrupt", "has pixels that fail their checksum", retry=True)


def with_stored_pixels(png: bytes) -> bytes | None:
    """Return the picture with its pixels stored instead of deflated; None if Pillow must read the original.

    Pillow reads the original if its rows are interlaced or take much memory, since Pillow inflates them piece
    by piece. It also does if the pixels are damaged, and then reports the fault.

    Raises:
        ImageError: ``truncated``, there are fewer rows than the header says. Pillow leaves them black.
    """
    size, is_interlaced = _bytes_of_rows(png[16:29])
    pixels = [(start, end) for name, start, end in _chunks(png) if name == b"IDAT"]
    packed = b"".join(png[start:end] for start, end in pixels)
    is_kept = not is_interlaced and size <= _MAX_ROWS_BYTES
    rows = _inflated(packed, size, keep=is_kept)
    if rows is None or not is_kept:
        return None
    head = png[: pixels[0][0] - 8]
    return b"".join((head, *_chunk(b"IDAT", _zlib_stored(rows)), *_chunk(b"IEND", [])))


def _bytes_of_rows(header: bytes) -> tuple[int, bool]:
    """Return the bytes of all rows without compression, and whether they are interlaced."""
    width, height, depth, colour, *_, interlaced = struct.unpack(">IIBBBBB", header)
    size = 0
    for x, y, right, down in _ADAM7 if interlaced else ((0, 0, 1, 1),):
        columns, rows = -(-(width - x) // right), -(-(height - y) // down)
        if columns > 0 and rows > 0:  # each row begins with a filter byte
            size += rows * (1 + (columns * depth * _CHANNELS.get(colour, 1) + 7) // 8)
    return size, bool(interlaced)


def _inflated(packed: bytes, size: int, *, keep: bool) -> bytes | None:
    """Return ``size`` bytes of rows, or none of them if they are not to be kept; None if they are damaged.

    Raises:
        ImageError: ``truncated``, the rows end too early.
    """
    inflater, count, rows = isal_zlib.decompressobj(), 0, b""
    try:
        while count < size and not inflater.eof:
            step = size if keep else min(size - count, _PIECE_BYTES)
            rows = inflater.decompress(inflater.unconsumed_tail or packed, step)
            packed = b""
            count += len(rows)
            if not rows:
                break
    except isal_zlib.error:  # type: ignore[misc]  # the stubs call it a value
        return None
    if count < size and inflater.eof:
        raise ImageError("truncated", "has fewer rows than its header says", retry=True)
    return rows if count == size else None


# Parts are joined once, since each copy of a frame's rows costs as much as hashing them.
Parts = list[bytes | memoryview]


def _zlib_stored(content: bytes) -> Parts:
    """Return a zlib stream of stored blocks."""
    parts: Parts = [b"\x78\x01"]
    view = memoryview(content)
    for start in range(0, len(view), _MAX_BLOCK_BYTES):
        block = view[start : start + _MAX_BLOCK_BYTES]
        is_last = start + _MAX_BLOCK_BYTES >= len(view)
        parts += [struct.pack("<BHH", is_last, len(block), len(block) ^ _MAX_BLOCK_BYTES), block]
    return [*parts, isal_zlib.adler32(content).to_bytes(4, "big")]


def _chunk(name: bytes, content: Parts) -> Parts:
    check = isal_zlib.crc32(name)
    for part in content:
        check = isal_zlib.crc32(part, check)
    return [sum(map(len, content)).to_bytes(4, "big"), name, *content, check.to_bytes(4, "big")]


def _chunks(png: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield name, begin and end of each chunk's content, up to the end chunk or the file's end."""
    position = 8
    for _ in range(_MAX_CHUNKS):
        if position + 12 > len(png):
            return
        name, start = png[position + 4 : position + 8], position + 8
        end = start + int.from_bytes(png[position : position + 4], "big")
        yield name, start, end
        if name == b"IEND":
            return
        position = end + 4
    raise ImageError("too_large", f"has more than {_MAX_CHUNKS} chunks")
