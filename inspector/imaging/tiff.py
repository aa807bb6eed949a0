"""TIFF: the layouts that are known to decode rightly, asked of the file's own tags before Pillow loads it.

Pillow reads many layouts, and some of them wrongly without a word: 16-bit colour in separate planes becomes
noise, and signed bytes are read as unsigned. So this module lists what is known to be right and refuses
everything else by name. ``tests/imaging/test_tiff.py`` proves the list: it writes thousands of layouts and
compares each frame with another decoder's. It is one long module, because the tags and the list of their
allowed values are read side by side.
"""

from __future__ import annotations

import math
import re
import struct
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from inspector.errors import ImageError
from inspector.imaging.tiff_blocks import Blocks

_MAX_PAGES: Final = 100  # directories that are read; a frame has one, and perhaps a thumbnail
_MAX_VALUES: Final = 1 << 20  # numbers of one tag: a strip for each row of the largest frame is 65,535

# Tags (TIFF 6.0 and its supplements).
_SUBFILE_TYPE, _OLD_SUBFILE_TYPE, _WIDTH, _HEIGHT, _BITS, _COMPRESSION = 254, 255, 256, 257, 258, 259
_PHOTOMETRIC, _FILL_ORDER, _DESCRIPTION, _ORIENTATION, _SAMPLES, _ROWS_PER_STRIP = (
    262,
    266,
    270,
    274,
    277,
    278,
)
_STRIP_OFFSETS, _STRIP_BYTES, _MAX_SAMPLE, _PLANES, _PREDICTOR = 273, 279, 281, 284, 317
_TILE_WIDTH, _TILE_HEIGHT, _TILE_OFFSETS, _TILE_BYTES, _SUB_PAGES, _INK_SET = 322, 323, 324, 325, 330, 332
_EXTRA, _SAMPLE_FORMAT, _COEFFICIENTS, _SUBSAMPLING, _BLACK_WHITE = 338, 339, 529, 530, 532
_JPEG_START, _JPEG_BYTES, _JPEG_TABLES, _COLOUR_MAP, _PLANES_OF_STACK = 513, 514, 347, 320, 33629
_IMAGE_DEPTH, _TILE_DEPTH, _RAW_VERSION = 32997, 32998, 50706
_OTHER_DIRECTORIES: Final = (34665, 34853)  # of EXIF and GPS

_NUMBERS: Final = {
    1: "u1",
    3: "u2",
    4: "u4",
    6: "i1",
    7: "u1",
    8: "i2",
    9: "i4",
    13: "u4",
    16: "u8",
    17: "i8",
    18: "u8",
}
_BYTES: Final = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_BYTES_BIG: Final = {**_BYTES, 16: 8, 17: 8, 18: 8}
_WHOLE_NUMBERS: Final = (1, 3, 4, 16)
_RATIONAL: Final = 5  # two 32-bit numbers
_TEXT: Final = 2

_OF_ONE_NUMBER: Final = (
    *(
        _SUBFILE_TYPE,
        _OLD_SUBFILE_TYPE,
        _WIDTH,
        _HEIGHT,
        _COMPRESSION,
        _PHOTOMETRIC,
        _FILL_ORDER,
        _ORIENTATION,
    ),
    *(_SAMPLES, _ROWS_PER_STRIP, _PLANES, _PREDICTOR, _TILE_WIDTH, _TILE_HEIGHT, _INK_SET),
)
_OF_NUMBERS: Final = (
    *(*_OF_ONE_NUMBER, _BITS, _SAMPLE_FORMAT, _EXTRA, _SUBSAMPLING, _COLOUR_MAP),
    *(_STRIP_OFFSETS, _STRIP_BYTES, _TILE_OFFSETS, _TILE_BYTES),
)

_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _CMYK, _YCBCR = 0, 1, 2, 3, 5, 6
_OTHER_PHOTOMETRICS: Final = {
    4: "a mask",
    8: "Lab",
    9: "ICC Lab",
    10: "ITU Lab",
    32803: "a colour filter array",
    32844: "LogL",
    32845: "LogLuv",
    34892: "linear camera raw",
}
_COLOURS: Final = {_WHITE_IS_ZERO: 1, _BLACK_IS_ZERO: 1, _RGB: 3, _PALETTE: 1, _CMYK: 4, _YCBCR: 3}
_NO_COMPRESSION, _LZW, _JPEG, _DEFLATE, _PACKBITS, _OLD_DEFLATE = 1, 5, 7, 8, 32773, 32946
_LOSSLESS: Final = (_NO_COMPRESSION, _LZW, _DEFLATE, _PACKBITS, _OLD_DEFLATE)
_NAMES: Final = {
    1: "none",
    5: "LZW",
    7: "JPEG",
    8: "deflate",
    32773: "PackBits",
    32946: "deflate",
    2: "CCITT RLE",
    3: "fax 3",
    4: "fax 4",
    6: "old-style JPEG",
    34712: "JPEG 2000",
    34925: "LZMA",
    50000: "Zstandard",
    50001: "WebP",
    50002: "JPEG XL",
}
_UNSIGNED, _SIGNED = 1, 2
_OTHER_SAMPLE_FORMATS: Final = {2: "signed", 3: "floating-point", 4: "untyped", 5: "complex", 6: "complex"}
_UNSPECIFIED, _UNASSOCIATED_ALPHA = 0, 2
_FULL_RANGE: Final = (0, 255, 128, 255, 128, 255)
_ITU_R_601: Final = (0.299, 0.587, 0.114)


@dataclass(frozen=True, slots=True)
class _Layout:
    """The layouts that are read correctly, for one photometric interpretation and number of bits.

    Attributes:
        compressions: the compressions.
        extras: the extra samples (alpha, or unspecified) in one plane; JPEG takes none.
        orders: the byte orders of the file.
        in_planes: whether the colours may be in separate planes, without extra samples.
    """

    compressions: tuple[int, ...] = _LOSSLESS
    extras: tuple[tuple[int, ...], ...] = ((),)
    orders: str = "<>"
    in_planes: bool = False


_RAW: Final = (_NO_COMPRESSION,)
_ANY: Final = (*_LOSSLESS, _JPEG)
_ALPHA: Final = ((), (_UNSPECIFIED,), (_UNASSOCIATED_ALPHA,))
_KNOWN: Final = {
    (_WHITE_IS_ZERO, 1): _Layout(_RAW),
    (_WHITE_IS_ZERO, 2): _Layout(_RAW),
    (_WHITE_IS_ZERO, 4): _Layout(_RAW),
    (_WHITE_IS_ZERO, 8): _Layout(_ANY),
    (_BLACK_IS_ZERO, 1): _Layout(_RAW),
    (_BLACK_IS_ZERO, 2): _Layout(_RAW),
    (_BLACK_IS_ZERO, 4): _Layout(_RAW),
    (_BLACK_IS_ZERO, 8): _Layout(_ANY, _ALPHA),
    (_BLACK_IS_ZERO, 12): _Layout(_RAW, orders="<"),
    (_BLACK_IS_ZERO, 16): _Layout(),
    (_BLACK_IS_ZERO, 32): _Layout(orders="<"),
    (_RGB, 8): _Layout(_ANY, (*_ALPHA, (2, 0), (0, 0)), in_planes=True),
    (_RGB, 16): _Layout(extras=_ALPHA),
    (_PALETTE, 8): _Layout(),
    (_CMYK, 8): _Layout(in_planes=True),
    (_CMYK, 16): _Layout(),
    (_YCBCR, 8): _Layout((_NO_COMPRESSION, _JPEG)),
}


@dataclass(frozen=True, slots=True)
class Picture:
    """The one picture of a file.

    Attributes:
        page: its number in the file.
        end: where the last byte that the file's own tags name ends.
        max_sample: the largest value of a pixel, if the file states it.
        blocks: its strips or tiles.
    """

    page: int
    end: int
    max_sample: int | None
    blocks: Blocks


@dataclass(slots=True)
class _Page:
    """One directory: numbers by tag, a description, and the end of its bytes in the file."""

    tags: dict[int, NDArray[np.generic]]
    description: bytes
    end: int
    next: int

    def one(self, tag: int, default: int) -> int:
        """Return the first value of a tag."""
        values = self.tags.get(tag)
        return default if values is None or not len(values) else int(values[0])

    def all(self, tag: int) -> list[int]:
        """Return the values of a tag; none if it is missing."""
        return [int(value) for value in self.tags.get(tag, ())]

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        return self.one(_WIDTH, 0), self.one(_HEIGHT, 0)

    @property
    def is_thumbnail(self) -> bool:
        """Whether it says that it is a smaller copy of another page."""
        return bool(self.one(_SUBFILE_TYPE, 0) & 1) or self.one(_OLD_SUBFILE_TYPE, 1) == 2

    @property
    def end_of_blocks(self) -> int:
        """Where the last byte that the directory names ends: values, strips, tiles or a JPEG thumbnail."""
        end = self.end
        places = ((_STRIP_OFFSETS, _STRIP_BYTES), (_TILE_OFFSETS, _TILE_BYTES), (_JPEG_START, _JPEG_BYTES))
        for starts, counts in places:
            if starts in self.tags and counts in self.tags:
                number = min(len(self.tags[starts]), len(self.tags[counts]))
                pairs = (self.tags[tag][:number].astype(np.int64) for tag in (starts, counts))
                end = max(end, int(np.max(np.add(*pairs), initial=0)))
        return end

    @property
    def places(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Where the strips or tiles begin, and how many bytes each has."""
        tiled = _TILE_OFFSETS in self.tags
        starts = self.tags.get(_TILE_OFFSETS if tiled else _STRIP_OFFSETS, np.zeros(0))
        counts = self.tags.get(_TILE_BYTES if tiled else _STRIP_BYTES, np.zeros(0))
        return starts.astype(np.int64), counts.astype(np.int64)

    @property
    def is_mask(self) -> bool:
        """Whether it says that it is a transparency mask of another page."""
        return bool(self.one(_SUBFILE_TYPE, 0) & 4)


def check(tiff: bytes) -> Picture:
    """Find the one picture of a TIFF, and refuse a layout that is not known to be read rightly.

    Raises:
        ImageError: ``unsupported``, ``multi_frame``, ``truncated`` or ``corrupt``.
    """
    if tiff[:4] == b"MM\0+":
        raise ImageError("unsupported", "is big-endian BigTIFF; write it little-endian, or as a plain TIFF")
    reader = _Reader(tiff)
    pages = reader.pages(reader.first)
    if not pages:
        raise ImageError("truncated", "has no directory of its picture yet", retry=True)
    number = _main_page(pages)
    page = pages[number]
    copies = [other for other in pages if other is not page]
    copies += [other for start in page.all(_SUB_PAGES)[:_MAX_PAGES] for other in reader.pages(start)]
    if any(not (other.is_mask or _is_smaller(other, page)) for other in copies):
        raise ImageError("multi_frame", "holds several pictures; write one picture to a file")
    _check_layout(page, reader.order)
    end = max(other.end_of_blocks for other in (page, *copies))
    end = max([end, *(reader.page(page.one(tag, 0)).end for tag in _OTHER_DIRECTORIES if page.one(tag, 0))])
    blocks, end_of_pixels = _blocks(page, tiff)
    return Picture(number, max(end, end_of_pixels), page.one(_MAX_SAMPLE, 0) or None, blocks)


class _Reader:
    """Reads the directories of a file."""

    def __init__(self, tiff: bytes) -> None:
        self._tiff = tiff
        self.order = "<" if tiff[:2] == b"II" else ">"
        self._is_big = tiff[2:4] in (b"+\0", b"\0+")

    @property
    def first(self) -> int:
        """Where the first directory begins.

        Raises:
            ImageError: ``truncated``.
        """
        return self._number(8, 8) if self._is_big else self._number(4, 4)

    def pages(self, start: int) -> list[_Page]:
        """Return the chain of directories from one on.

        Raises:
            ImageError: ``truncated``, ``corrupt`` or ``multi_frame``.
        """
        pages: list[_Page] = []
        starts: set[int] = set()
        while start:
            if start in starts:
                raise ImageError("corrupt", "has a directory that comes twice", retry=True)
            if len(pages) == _MAX_PAGES:
                raise ImageError("multi_frame", f"holds more than {_MAX_PAGES} pages")
            starts.add(start)
            pages.append(self.page(start))
            start = pages[-1].next
        return pages

    def page(self, start: int) -> _Page:
        """Return the directory that begins at a byte.

        Raises:
            ImageError: ``truncated`` or ``corrupt``.
        """
        head, entry, word = (8, 20, 8) if self._is_big else (2, 12, 4)
        count = self._number(start, head)
        end = start + head + count * entry + word
        if not 0 < count <= 4096 or end > len(self._tiff):
            raise ImageError("truncated", "has a directory that is not there in full", retry=True)
        page = _Page({}, b"", end, self._number(end - word, word))
        for at in range(start + head, end - word, entry):
            self._read_entry(page, at, word)
        return page

    def _read_entry(self, page: _Page, at: int, word: int) -> None:
        tag, kind, count = self._number(at, 2), self._number(at + 2, 2), self._number(at + 4, word)
        size = (_BYTES_BIG if self._is_big else _BYTES).get(kind)
        if tag == 0 or kind == 0:
            raise ImageError("corrupt", "has a directory with empty entries", retry=True)
        if (tag in _OF_NUMBERS and kind not in _WHOLE_NUMBERS) or (tag in _OF_ONE_NUMBER and count != 1):
            raise ImageError("corrupt", f"has its tag {tag} in an unusual form", retry=True)  # readers differ
        if size is None:
            return  # readers are to skip types that they do not know (TIFF 6.0, section 2)
        place = at + 4 + word
        if count * size > word:
            place = self._number(place, word)
            page.end = max(page.end, place + count * size)
        if place + count * size > len(self._tiff):
            raise ImageError("truncated", f"ends before the values of its tag {tag}", retry=True)
        if kind == _TEXT and tag == _DESCRIPTION:
            page.description = self._tiff[place : place + count]
        elif kind in (*_NUMBERS, _RATIONAL) and count <= _MAX_VALUES:
            if tag in page.tags:
                raise ImageError("corrupt", f"has its tag {tag} twice", retry=True)
            type_ = self.order + _NUMBERS.get(kind, "u4")
            page.tags[tag] = np.frombuffer(self._tiff, type_, count * (1 + (kind == _RATIONAL)), place)

    def _number(self, at: int, size: int) -> int:
        if at + size > len(self._tiff):
            raise ImageError("truncated", "ends before its directory", retry=True)
        form = {2: "H", 4: "I", 8: "Q"}[size]
        return int(struct.unpack_from(self.order + form, self._tiff, at)[0])


def _main_page(pages: list[_Page]) -> int:
    """Return the number of the only page that is neither a thumbnail nor a mask of another one."""
    own = [number for number, page in enumerate(pages) if not (page.is_thumbnail or page.is_mask)]
    if len(own) > 1 or (not own and len(pages) > 1):
        raise ImageError("multi_frame", "holds several pictures; write one picture to a file")
    number = own[0] if own else 0
    about = pages[number].description
    if len(pages[number].tags.get(_PLANES_OF_STACK, ())) > 2:  # of MetaMorph: two numbers for each picture
        raise ImageError(
            "multi_frame", "holds a stack of pictures behind one page; write one picture to a file"
        )
    images = re.search(rb"^images=(\d+)", about, re.MULTILINE) if about.startswith(b"ImageJ=") else None
    if (images and int(images[1]) > 1) or re.search(rb'"truncated": true', about):
        raise ImageError(
            "multi_frame", "holds a stack of pictures behind one page; write one picture to a file"
        )
    return number


def _is_smaller(copy: _Page, main: _Page) -> bool:
    return (
        copy.is_thumbnail
        and all(0 < a <= b for a, b in zip(copy.size, main.size, strict=True))
        and copy.size != main.size
    )


# --- the list of what is known to be right ------------------------------------------------------------------


def _check_layout(page: _Page, order: str) -> None:
    """Refuse every layout that is not on the list."""
    if page.one(_PHOTOMETRIC, -1) < 0:
        raise _unsupported("that does not say how its values are meant (no PhotometricInterpretation)")
    if _RAW_VERSION in page.tags:
        raise _unsupported("of a camera's raw values (DNG)")
    photometric, compression = page.one(_PHOTOMETRIC, -1), page.one(_COMPRESSION, _NO_COMPRESSION)
    if photometric not in _COLOURS:
        raise _unsupported(
            f"with {_OTHER_PHOTOMETRICS.get(photometric, f'photometric {photometric}')} pixels"
        )
    if compression not in (*_LOSSLESS, _JPEG):
        name = _NAMES.get(compression, f"method {compression}")
        raise _unsupported(f"compressed by {name}; use none, LZW, deflate, PackBits or JPEG")
    _check_samples(page, photometric, compression, order)
    for tag, what in ((_FILL_ORDER, "bit order"), (_ORIENTATION, "orientation"), (_INK_SET, "set of inks")):
        if page.one(tag, 1) != 1:
            raise _unsupported(f"with {what} {page.one(tag, 1)}; only 1 is read")
    if max(page.one(_IMAGE_DEPTH, 1), page.one(_TILE_DEPTH, 1)) != 1:
        raise _unsupported("of a volume")
    predictor = page.one(_PREDICTOR, 1)
    if predictor != 1 and (predictor != 2 or compression in (_NO_COMPRESSION, _JPEG, _PACKBITS)):
        raise _unsupported(f"with predictor {predictor} and compression {compression}")
    if photometric == _YCBCR:
        _check_ycbcr(page, compression)
    colours = page.all(_COLOUR_MAP)
    if photometric == _PALETTE and len(colours) != 3 * 256:
        raise ImageError("corrupt", "has a palette that does not fit its pixels", retry=True)
    if photometric == _PALETTE and 0 < max(colours) < 256:
        raise _unsupported("with a palette of 8-bit colours; they must have 16 bits")


def _check_samples(page: _Page, photometric: int, compression: int, order: str) -> None:
    samples, colours = page.one(_SAMPLES, 1), _COLOURS[photometric]
    depths, formats = page.all(_BITS) or [1], page.all(_SAMPLE_FORMAT) or [_UNSIGNED]
    extra, planes = tuple(page.all(_EXTRA)), page.one(_PLANES, 1)
    bits, form = depths[0], formats[0]
    if len(set(depths)) > 1 or len(set(formats)) > 1:
        raise _unsupported("whose samples differ in bits or sample format")
    if form != _UNSIGNED and (form, bits) != (_SIGNED, 32):  # the decoder asks each 32-bit value for its sign
        raise _unsupported(f"with {bits}-bit {_OTHER_SAMPLE_FORMATS.get(form, 'unknown')} pixels")
    layout = _KNOWN.get((photometric, bits))
    if layout is None or (order not in layout.orders and form == _UNSIGNED):
        kind = " big-endian" if layout else " white-is-zero" if photometric == _WHITE_IS_ZERO else ""
        raise _unsupported(f"with {bits}-bit{kind} pixels")
    if samples != colours + len(extra) or len(depths) not in (1, samples) or len(formats) not in (1, samples):
        raise _unsupported(f"with {samples} samples per pixel of which {colours + len(extra)} are explained")
    if compression not in layout.compressions:
        raise _unsupported(f"with {bits}-bit pixels and compression {_NAMES.get(compression, compression)}")
    if extra not in layout.extras or (extra and (planes != 1 or compression == _JPEG)):
        kind = "alpha multiplied into its colours" if 1 in extra else f"extra samples {list(extra)}"
        raise _unsupported(f"with {kind}")
    if planes != 1 and not (planes == 2 and layout.in_planes):
        raise _unsupported(f"with {bits}-bit samples in separate planes")


def _check_ycbcr(page: _Page, compression: int) -> None:
    if compression != _JPEG and page.all(_SUBSAMPLING) != [1, 1]:
        raise _unsupported("with subsampled YCbCr pixels; only JPEG compression is read so")
    for tag, wanted in ((_BLACK_WHITE, _FULL_RANGE), (_COEFFICIENTS, _ITU_R_601)):
        values = page.tags.get(tag)
        if values is None:
            continue
        ratios = values.reshape(-1, 2).astype(float) if len(values) == 2 * len(wanted) else np.zeros((1, 2))
        if not np.array_equal(np.round(ratios[:, 0], 6), np.round(np.array(wanted) * ratios[:, 1], 6)):
            raise _unsupported("with YCbCr pixels of another range or other coefficients")


def _unsupported(what: str) -> ImageError:
    return ImageError("unsupported", f"is TIFF {what}")


# --- whether the pixels are there ---------------------------------------------------------------------------


def _blocks(page: _Page, tiff: bytes) -> tuple[Blocks, int]:
    """Return the strips or tiles, and where the last one ends.

    Raises:
        ImageError: ``truncated``, strips or tiles are missing, too short or past the file's end.
    """
    width, height = page.size
    if not (width and height):
        raise ImageError("corrupt", "does not say how large its picture is", retry=True)
    tiled = _TILE_OFFSETS in page.tags
    offsets, counts = page.places
    block_width = page.one(_TILE_WIDTH, 0) if tiled else width
    block_height = page.one(_TILE_HEIGHT, 0) if tiled else min(page.one(_ROWS_PER_STRIP, height), height)
    if not (block_width and block_height):
        raise ImageError("corrupt", "does not say how large its tiles or strips are", retry=True)
    samples, bits = page.one(_SAMPLES, 1), (page.all(_BITS) or [1])[0]
    planes, samples = (samples, 1) if page.one(_PLANES, 1) == 2 else (1, samples)
    rows = math.ceil(height / block_height)
    blocks = math.ceil(width / block_width) * rows * planes
    if len(offsets) < blocks:
        raise ImageError("truncated", "has fewer rows than its header says", retry=True)
    if len(counts) != len(offsets) or len(offsets) > blocks:
        raise ImageError("corrupt", "has more strips or tiles than its picture needs", retry=True)
    if (offsets <= 0).any() or (counts <= 0).any() or (offsets + counts > len(tiff)).any():
        raise ImageError("truncated", "ends before its last strip or tile", retry=True)
    compression, row_bytes = page.one(_COMPRESSION, 1), math.ceil(block_width * samples * bits / 8)
    lines = np.full(blocks, block_height)
    if not tiled:
        lines.reshape(planes, rows)[:, -1] = height - (rows - 1) * block_height
    if compression == _NO_COMPRESSION and (counts < lines * row_bytes).any():
        raise ImageError("truncated", "has strips that are shorter than their rows", retry=True)
    view, tables = memoryview(tiff), page.tags.get(_JPEG_TABLES, np.zeros(0)).astype(np.uint8).tobytes()
    coded = tuple(view[at : at + size] for at, size in zip(offsets.tolist(), counts.tolist(), strict=True))
    found = Blocks(coded, compression, block_width, tuple(lines.tolist()), row_bytes, tables)
    return found, int((offsets + counts).max())
