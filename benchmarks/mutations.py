"""Damaged images, as a broken disk, line or camera makes them from valid files of many kinds."""

from __future__ import annotations

import io
import random
import struct
import zlib
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

import numpy as np
from PIL import Image
from unusual_files import unusual

ODD_NUMBERS: Final = (
    *(0, 1, 2, 7, 8, 128, 256),
    *(2**bits - less for bits in (7, 8, 15, 16, 31, 32) for less in (0, 1)),
)
SUFFIXES: Final = {"PNG": "png", "JPEG": "jpg", "BMP": "bmp", "TIFF": "tif"}


class Mutant(NamedTuple):
    """A damaged file.

    Attributes:
        name: its name in the drop folder.
        content: its bytes.
        kind: the format of the valid file and the kind of damage.
        valid: the file before the damage, if a judged image must have its pixels: no decoder sees that a
            piece of a file comes twice.
    """

    name: str
    content: bytes
    kind: str
    valid: bytes | None


def mutants(count: int, seed: int) -> Iterator[Mutant]:
    """``count`` damaged files, the same for the same seed."""
    chance = random.Random(seed)
    base = bases(seed)
    for number in range(count):
        suffix, content = chance.choice(base)
        way = chance.choice([*_HARM_TO_ANY_FILE, *_HARM_BY_FORMAT.get(suffix, ())])
        damaged = bytes(way(chance, bytearray(content)))
        valid = content if way is _resumed and len(damaged) > len(content) else None
        if chance.random() < 0.2 and not valid:  # damage often comes in pairs
            damaged = bytes(chance.choice(_HARM_TO_ANY_FILE)(chance, bytearray(damaged)))
        form = suffix if suffix in _HARM_BY_FORMAT else "other"
        yield Mutant(f"m{number}.{suffix}", damaged, f"{form} {way.__name__.strip('_')}", valid)


def bases(seed: int) -> list[tuple[str, bytes]]:
    """Valid files: twice what cameras write, in all modes and compressions, and once each unusual file."""
    noise = np.random.default_rng(seed).integers(0, 256, (120, 100), dtype=np.uint8)
    ramp = (np.add.outer(np.arange(120), np.arange(100)) % 200 + 20).astype(np.uint8)  # compresses well
    files = []
    for pixels in (noise, ramp):
        grey = Image.fromarray(pixels)
        colour, words = grey.convert("RGB"), Image.fromarray(pixels.astype(np.uint16) * 257)
        for image, kind, options in (
            (grey, "PNG", {}),
            (colour, "PNG", {"optimize": True}),
            (grey.convert("P"), "PNG", {}),
            (words, "PNG", {}),
            (grey, "JPEG", {"quality": 90}),
            (colour, "JPEG", {"progressive": True}),
            (grey, "JPEG", {"restart_marker_rows": 2}),
            (grey, "BMP", {}),
            (colour, "BMP", {}),
            (grey.convert("1"), "BMP", {}),
            (grey, "TIFF", {}),
            (grey, "TIFF", {"compression": "tiff_lzw"}),
            (colour, "TIFF", {"compression": "tiff_adobe_deflate"}),
            (words, "TIFF", {"compression": "packbits"}),
        ):
            stream = io.BytesIO()
            image.save(stream, kind, **options)
            files.append((SUFFIXES[kind], stream.getvalue()))
    return files * 2 + [(file.name.rpartition(".")[2], file.content) for file in unusual()]


# --- damage to any file -------------------------------------------------------------------------------------


def _bits(chance: random.Random, data: bytearray) -> bytearray:
    """Flip 1 to 32 bits."""
    for _ in range(chance.choice((1, 1, 2, 4, 8, 32)) if data else 0):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    return data


def _cut(chance: random.Random, data: bytearray) -> bytearray:
    """Cut off the end."""
    return data[: chance.randrange(len(data) + 1)]


def _hole(chance: random.Random, data: bytearray) -> bytearray:
    """Remove a piece in the middle, as after a lost packet."""
    start = chance.randrange(len(data) + 1)
    del data[start : start + chance.choice((1, 16, 512, 4096))]
    return data


def _resumed(chance: random.Random, data: bytearray) -> bytearray:
    """Send a piece twice, as an upload that resumes too early; a piece of one colour would change nothing."""
    stop = chance.randrange(len(data) + 1)
    start = max(stop - chance.choice((64, 100, 512, 4096, 1 << 30)), 0)
    return data[:stop] + data[start:] if len(set(data[start:stop])) > 2 else data[:stop]


def _zeros(chance: random.Random, data: bytearray) -> bytearray:
    """Zero a piece, or the whole rest, as if it was never written."""
    start = chance.randrange(len(data) + 1)
    length = min(len(data) - start, chance.choice((16, 512, 4096, 1 << 20)))
    data[start : start + length] = bytes(length)
    return data


def _splice(chance: random.Random, data: bytearray) -> bytearray:
    """Copy one piece of the file over another."""
    length = chance.choice((4, 64, 1024))
    source, target = chance.randrange(len(data) + 1), chance.randrange(len(data) + 1)
    data[target : target + length] = data[source : source + length]
    return data


def _header(chance: random.Random, data: bytearray) -> bytearray:
    """Put an odd number into a field of the first 64 bytes."""
    form = chance.choice(("<H", ">H", "<I", ">I", "B"))
    value = chance.choice(ODD_NUMBERS) & ((1 << 8 * struct.calcsize(form)) - 1)
    start = chance.randrange(64)
    if start + struct.calcsize(form) <= len(data):
        struct.pack_into(form, data, start, value)
    return data


def _garbage(chance: random.Random, data: bytearray) -> bytearray:
    """Put foreign bytes at the end, at the start, or in place of the content."""
    extra = chance.randbytes(chance.choice((1, 100, 10_000)))
    return chance.choice((data + extra, bytearray(extra) + data, data[:8] + extra))


_HARM_TO_ANY_FILE: Final[tuple[Callable[[random.Random, bytearray], bytearray], ...]] = (
    _bits,
    _cut,
    _hole,
    _resumed,
    _zeros,
    _splice,
    _header,
    _garbage,
)


# --- damage by the rules of a format ------------------------------------------------------------------------


def _png(chance: random.Random, data: bytearray) -> bytearray:
    """Drop, double, move or rename a chunk, or change its content with a correct checksum."""
    chunks = []
    position = 8
    while position + 12 <= len(data):
        length = int.from_bytes(data[position : position + 4], "big")
        chunks.append(
            (bytes(data[position + 4 : position + 8]), bytes(data[position + 8 : position + 8 + length]))
        )
        position += 12 + length
    at = chance.randrange(len(chunks))
    name, content = chunks[at]
    what = chance.choice(("drop", "double", "move", "name", "content", "field"))
    if what == "drop":
        del chunks[at]
    elif what == "double":
        chunks.insert(at, chunks[at])
    elif what == "move":
        chunks.insert(chance.randrange(len(chunks)), chunks.pop(at))
    elif what == "name":
        chunks[at] = chance.choice((b"acTL", b"tRNS", b"iCCP", b"zTXt", b"eXIf", b"IDAT")), content
    else:
        harm = _bits if what == "content" else _header
        chunks[at] = name, bytes(harm(chance, bytearray(content)))
    out = bytearray(data[:8])
    for name, content in chunks:
        out += struct.pack(">I", len(content)) + name + content
        out += struct.pack(">I", zlib.crc32(name + content))
    return out


def _jpeg(chance: random.Random, data: bytearray) -> bytearray:
    """Drop or double a segment, falsify its length or content, or end the scan early with a valid end."""
    segments, position = [], 2
    while position + 4 <= len(data) and data[position] == 0xFF and data[position + 1] != 0xDA:
        end = position + 2 + int.from_bytes(data[position + 2 : position + 4], "big")
        segments.append((position, end))
        position = end
    start, end = chance.choice(segments)
    what = chance.choice(("drop", "double", "length", "content", "early end"))
    if what == "drop":
        del data[start:end]
    elif what == "double":
        data[start:start] = data[start:end]
    elif what == "length":
        struct.pack_into(">H", data, start + 2, chance.choice(ODD_NUMBERS) & 0xFFFF)
    elif what == "content":
        data[start + 4 : end] = _bits(chance, data[start + 4 : end])
    else:
        data[chance.randrange(position, len(data)) :] = b"\xff\xd9"
    return data


def _jpeg_end(chance: random.Random, data: bytearray) -> bytearray:
    """Put a few bytes before the last end mark, or take a few away."""
    end = data.rfind(b"\xff\xd9")
    count = chance.choice((1, 2, 3, 7, 8, 9, 60))
    if end > count and chance.random() < 0.5:
        del data[end - count : end]
    elif end > 0:
        data[end:end] = chance.choice((bytes(count), b"\x55" * count, chance.randbytes(count)))
    return data


def _bmp(chance: random.Random, data: bytearray) -> bytearray:
    """Put an odd number into a header field: size, offset, width, height, bits, packing, colours."""
    at, form = chance.choice(
        (
            (2, "<I"),
            (10, "<I"),
            (14, "<I"),
            (18, "<I"),
            (22, "<I"),
            (26, "<H"),
            (28, "<H"),
            (30, "<I"),
            (46, "<I"),
        )
    )
    value = chance.choice((*ODD_NUMBERS, 3, 4, 24, 32, 100, 120, -120 & 0xFFFFFFFF))
    struct.pack_into(form, data, at, value & ((1 << 8 * struct.calcsize(form)) - 1))
    return data


def _tiff(chance: random.Random, data: bytearray) -> bytearray:
    """Change tag, type, count or value of a directory entry, or the position of the directory."""
    if data[2:4] in (b"+\0", b"\0+"):  # BigTIFF has other directories
        return _header(chance, data)
    order = "<" if data[:2] == b"II" else ">"
    (directory,) = struct.unpack_from(f"{order}I", data, 4)
    (count,) = struct.unpack_from(f"{order}H", data, directory)
    entry = directory + 2 + 12 * chance.randrange(count)
    at, form = chance.choice(
        ((4, "I"), (directory, "H"), (entry, "H"), (entry + 2, "H"), (entry + 4, "I"), (entry + 8, "I"))
    )
    value = chance.choice((*ODD_NUMBERS, 3, 4, 5, 100, 120, len(data) - 1, directory))
    struct.pack_into(f"{order}{form}", data, at, value & ((1 << 8 * struct.calcsize(form)) - 1))
    return data


_HARM_BY_FORMAT: Final = {"png": (_png,), "jpg": (_jpeg, _jpeg_end), "bmp": (_bmp,), "tif": (_tiff,)}
