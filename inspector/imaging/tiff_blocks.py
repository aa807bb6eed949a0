"""The strips or tiles of a TIFF, and the damage that libtiff does not report.

libtiff fills a damaged JPEG strip with grey, as libjpeg does. It stops before the checksum of a deflated
strip, and drops surplus bytes. It reports no damage of an LZW strip either. Some of that damage decodes, and
this module cannot find it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from isal import isal_zlib

from inspector.errors import ImageError
from inspector.imaging import jpeg, jpeg_pixels

JPEG: Final = 7
DEFLATE: Final = (8, 32946)
PACKBITS: Final = 32773


@dataclass(frozen=True, slots=True)
class Blocks:
    """All strips or tiles of a picture.

    Attributes:
        coded: their bytes, as they are in the file.
        compression: the method by its number in TIFF.
        width: pixels of a row.
        lines: rows of each.
        row_bytes: bytes of a row without compression.
        jpeg_tables: what all JPEG strips share, as a JPEG without a scan; empty if each is whole.
    """

    coded: tuple[memoryview, ...]
    compression: int
    width: int
    lines: tuple[int, ...]
    row_bytes: int
    jpeg_tables: bytes

    def find_flaw(self) -> str | None:
        """Return the flaw ``padded`` or None; see :class:`inspector.imaging.decoder.Picture`.

        Raises:
            ImageError: ``truncated``, ``corrupt`` or ``unsupported``.
        """
        flaws = set()
        most = max(self.lines) * self.row_bytes  # writers may fill the last strip up
        for block, lines in zip(self.coded, self.lines, strict=True):
            if self.compression in DEFLATE:
                _check_size(_inflated_size(block, most + 1), lines * self.row_bytes, most)
            elif self.compression == PACKBITS:
                _check_size(_unpacked_size(block), lines * self.row_bytes, most)
            elif self.compression == JPEG:
                flaws.add(self._flaw_of_jpeg(bytes(block).rstrip(b"\0"), lines))
        return next(filter(None, flaws), None)

    def _flaw_of_jpeg(self, block: bytes, lines: int) -> str | None:
        if not block.endswith(b"\xff\xd9"):
            raise ImageError("truncated", "has a strip or tile without its JPEG end mark", retry=True)
        whole = self.jpeg_tables[:-2] + block[2:] if self.jpeg_tables else block
        structure = jpeg.check(whole)
        if structure.size[0] < self.width or structure.size[1] < lines:
            raise ImageError("truncated", "has a strip or tile with too few JPEG pixels", retry=True)
        return jpeg_pixels.find_flaw(whole, structure)


def _check_size(size: int, least: int, most: int) -> None:
    if not least <= size <= most:
        raise ImageError("corrupt", "has a strip or tile that unpacks to another size", retry=True)


def _inflated_size(block: memoryview, most: int) -> int:
    """Count the bytes of a deflated block, up to one more than it may have, so that its checksum is read."""
    try:
        return len(isal_zlib.decompressobj().decompress(block, most))
    except isal_zlib.error as error:  # type: ignore[misc]  # the stubs call it a value
        raise ImageError("corrupt", f"has a damaged strip or tile: {error}", retry=True) from None


def _unpacked_size(block: memoryview) -> int:
    """Count the bytes of a block that is packed by PackBits (TIFF 6.0, section 9)."""
    size = at = 0
    while at < len(block):
        code = block[at]
        if code < 128:  # so many bytes and one follow
            size, at = size + code + 1, at + code + 2
        else:  # the next byte is repeated; 128 does nothing
            size, at = (size + 257 - code, at + 2) if code > 128 else (size, at + 1)
    return size
