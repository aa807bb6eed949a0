"""The strips or tiles of a TIFF, and the damage that libtiff passes over without a word.

libtiff fills a damaged JPEG strip with grey, as libjpeg does, and stops before the checksum of a deflated
one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from isal import isal_zlib

from inspector.errors import ImageError
from inspector.imaging import jpeg, jpeg_pixels

JPEG: Final = 7
DEFLATE: Final = (8, 32946)


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
        if self.compression in DEFLATE:
            for block, lines in zip(self.coded, self.lines, strict=True):
                _check_sum(block, lines * self.row_bytes)
        elif self.compression == JPEG:
            for block, lines in zip(self.coded, self.lines, strict=True):
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


def _check_sum(block: memoryview, size: int) -> None:
    """Inflate a block to one byte more than it needs, so that its end with the checksum is read."""
    try:
        isal_zlib.decompressobj().decompress(block, size + 1)
    except isal_zlib.error as error:  # type: ignore[misc]  # the stubs call it a value
        raise ImageError("corrupt", f"has a damaged strip or tile: {error}", retry=True) from None
