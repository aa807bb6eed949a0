"""Checks whether an image file holds all its pixels, by its structure and not by the station's decoder."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

import simplejpeg

_PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


def missing_pixels(content: bytes) -> str | None:
    """The missing or broken part; None if all pixels are there, or if the format cannot show it."""
    if content.startswith(b"\x89PNG"):
        return _png(content)
    if content.startswith(b"\xff\xd8"):
        return _jpeg(content)
    if content.startswith(b"BM"):
        return _bmp(content)
    return _tiff(content)


def _png(content: bytes) -> str | None:
    """The inflated image data is as long as the header says, and the needed chunks have correct checksums."""
    header, pixels, inflate = b"", 0, zlib.decompressobj()
    for name, data, is_right in _chunks(content):
        if inflate.eof:
            break
        if not is_right and name in (b"IHDR", b"PLTE", b"IDAT"):
            return f"{name.decode()} has a wrong checksum"
        if name == b"IHDR" and not header:
            header = data
        elif name == b"IDAT":
            pixels += _inflated(inflate, data)
    width, height, bits, colour, _, _, interlaced = struct.unpack(">IIBBBBB", header[:13])
    channels = _PNG_CHANNELS[colour]
    passes = _ADAM7 if interlaced else ((0, 0, 1, 1),)
    expected = 0
    for x, y, step_x, step_y in passes:
        columns, rows = -(-(width - x) // step_x), -(-(height - y) // step_y)
        if columns > 0 and rows > 0:
            expected += rows * (1 + (columns * channels * bits + 7) // 8)
    return None if pixels >= expected else f"{pixels} of {expected} bytes of pixels"


def _inflated(inflate: zlib._Decompress, data: bytes) -> int:
    """The number of bytes that come out before the data ends or turns wrong."""
    count = 0
    try:
        for byte in data:
            count += len(inflate.decompress(bytes((byte,))))
    except zlib.error:
        pass
    return count


def _chunks(content: bytes) -> Iterator[tuple[bytes, bytes, bool]]:
    position = 8
    while position + 12 <= len(content):
        end = position + 8 + int.from_bytes(content[position : position + 4], "big")
        name_and_data = content[position + 4 : end]
        yield name_and_data[:4], name_and_data[4:], content[end : end + 4] == _crc(name_and_data)
        if name_and_data[:4] == b"IEND":
            return
        position = end + 4


def _crc(data: bytes) -> bytes:
    return struct.pack(">I", zlib.crc32(data))


def _jpeg(content: bytes) -> str | None:
    """The warnings of libjpeg, which fills scans that end early with grey; Pillow does not pass them on."""
    try:
        simplejpeg.decode_jpeg(content, colorspace="GRAY", strict=True)
    except ValueError as said:
        return str(said) if "Corrupt JPEG data" in str(said) else None
    return None


def _bmp(content: bytes) -> str | None:
    """Rows are padded to four bytes; run-length packing is left to the decoder."""
    if int.from_bytes(content[14:18], "little") < 40 or int.from_bytes(content[30:34], "little") in (1, 2):
        return None
    (start,) = struct.unpack_from("<I", content, 10)
    width, height, _, bits = struct.unpack_from("<iiHH", content, 18)
    expected = (width * bits + 31) // 32 * 4 * abs(height)
    there = len(content) - start
    return None if there >= expected else f"{there} of {expected} bytes of pixels"


def _tiff(content: bytes) -> str | None:
    """The strips inside the file hold all rows; tiles and packed strips are left to the decoder."""
    if content[2:4] in (b"+\0", b"\0+"):  # BigTIFF has other directories
        return None
    tags = _tags(content)
    if (tags.get(259) or (1,))[0] == 7:
        return _jpeg_strips(content, tags)
    size = tags.get(256), tags.get(257)
    if (tags.get(259) or (1,))[0] != 1 or not all(size) or 324 in tags:
        return None
    width, height = size[0][0], size[1][0]
    bits = sum(tags.get(258) or (1,) * (tags.get(277) or (1,))[0])  # of one pixel
    expected = (width * bits + 7) // 8 * height
    starts, counts = tags.get(273, ()), tags.get(279, ())
    if len(starts) == 1:  # the count of a single strip is redundant, and readers ignore it
        counts = (expected,)
    there = sum(max(0, min(n, len(content) - at)) for at, n in zip(starts, counts, strict=False))
    return None if there >= expected else f"{there} of {expected} bytes of pixels"


def _jpeg_strips(content: bytes, tags: dict[int, tuple[int, ...]]) -> str | None:
    """Each strip or tile, with the tables that all share, decodes without a warning."""
    tables = bytes(tags.get(347, ()))
    starts, counts = tags.get(324) or tags.get(273, ()), tags.get(325) or tags.get(279, ())
    for start, count in zip(starts, counts, strict=False):
        strip = content[start : start + count]
        if said := _jpeg(tables[:-2] + strip[2:] if tables else strip):
            return said
    return None


def _tags(content: bytes) -> dict[int, tuple[int, ...]]:
    """The whole-number tags of the first directory."""
    order = "<" if content[:2] == b"II" else ">"
    (directory,) = struct.unpack_from(f"{order}I", content, 4)
    (count,) = struct.unpack_from(f"{order}H", content, directory)
    tags: dict[int, tuple[int, ...]] = {}
    for number in range(min(count, (len(content) - directory - 2) // 12)):
        tag, kind, length, _ = struct.unpack_from(f"{order}HHII", content, directory + 2 + 12 * number)
        form = {1: "B", 3: "H", 4: "I", 6: "b", 7: "B", 8: "h", 9: "i", 13: "I"}.get(kind)
        if form is None or length > len(content):
            continue
        at = directory + 2 + 12 * number + 8
        if length * struct.calcsize(form) > 4:
            (at,) = struct.unpack_from(f"{order}I", content, at)
        if at + length * struct.calcsize(form) <= len(content):
            tags.setdefault(tag, struct.unpack_from(f"{order}{length}{form}", content, at))
    return tags
