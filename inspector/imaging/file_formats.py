"""Formats of image files: recognized by their first bytes, checked for missing parts and second pictures."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from inspector.errors import ImageError
from inspector.imaging import bmp, jpeg, png, tiff

_SIGNATURES: Final = (
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"BM", "BMP"),
    *((head, "TIFF") for head in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")),
    (b"GIF8", "GIF"),
    (b"8BPS", "PSD"),
    (b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
    (b"\0\0\0\x0cJXL ", "JPEG XL"),
    (b"\xff\x0a", "JPEG XL"),
    *((b"P%d" % n + end, "PNM") for n in range(1, 7) for end in (b"\n", b" ")),
    (b"%!PS", "EPS"),
    (b"\xc5\xd0\xd3\xc6", "EPS"),
    (b"%PDF", "PDF"),
    (b"\0\0\1\0", "ICO"),
    (b"DDS ", "DDS"),
    (b"v/1\x01", "OpenEXR"),
    (b"SIMPLE  =", "FITS"),
    (b"II\xbc\x01", "JPEG XR"),
    (b"\x89HDF\r\n\x1a\n", "HDF5"),
    (b"\x93NUMPY", "NumPy"),
)
# Formats whose name comes after a length or a container's name: place, bytes, name.
_LATER_SIGNATURES: Final = (
    (8, b"WEBP", "WebP"),
    (8, b"AVI ", "AVI video"),
    (4, b"ftypavif", "AVIF"),
    (4, b"ftyphe", "HEIF"),
    (4, b"ftypmif1", "HEIF"),
    (4, b"ftyp", "MP4 video"),
)
_MIN_PIECE_BYTES: Final = 64  # shorter pieces may be alike by chance
_DICOM_AT: Final = 128  # a preamble comes first, often of zeros (DICOM PS3.10, 7.1)
# How a picture begins, somewhere behind another one. Two or three bytes alone would occur by chance.
_SECOND: Final = re.compile(
    rb"\x89PNG\r\n\x1a\n|\xff\xd8\xff[\xc0-\xfe]|II[*+]\0|MM\0[*+]|GIF8[79]a"
    rb"|RIFF.{4}WEBP|\0\0\0\x0c(?:jP  |JXL )\r\n\x87\n|\0{128}DICM"
    rb"|BM.{4}\0{4}.{4}[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class FileFormat:
    """The format of a file, and how to check it.

    Attributes:
        name: ``PNG``, ``JPEG``, ``BMP`` or ``TIFF``.
        jpeg: the markers of a JPEG.
        tiff: the picture of a TIFF.
    """

    name: str
    jpeg: jpeg.Structure | None = None
    tiff: tiff.Picture | None = None


def check(data: bytes, formats: Sequence[str]) -> FileFormat:
    """Find the one picture of a file by the rules of its format, before any of Pillow's parsers sees it.

    Args:
        data: the whole file.
        formats: names of the formats to accept.

    Raises:
        ImageError: ``empty``, ``zero_filled``, ``truncated``, ``corrupt``, ``not_an_image``,
            ``format_not_allowed``, ``multi_frame``, ``unsupported`` or ``too_large``; see
            :mod:`inspector.imaging.decoder`.
    """
    kind = _kind(data, formats)
    found, end = FileFormat(kind), len(data)
    if kind == "PNG":
        if (last := png.end(data)) is None:
            raise ImageError("truncated", "ends before the end of its PNG image", retry=True)
        end = last
    elif kind == "JPEG":
        structure = jpeg.check(data)
        found, end = FileFormat(kind, jpeg=structure), structure.end
    elif kind == "BMP":
        end = bmp.check(data)
    elif kind == "TIFF":
        picture = tiff.check(data)
        found, end = FileFormat(kind, tiff=picture), picture.end
    if end < len(data):
        _refuse_second_picture(data, end)
    return found


def _kind(data: bytes, formats: Sequence[str]) -> str:
    if not data:
        raise ImageError("empty", "has no bytes", retry=True)
    if data[_DICOM_AT : _DICOM_AT + 4] == b"DICM":
        raise ImageError(
            "unsupported", "is DICOM (DICONDE), which is not read; export it as 16-bit PNG or TIFF"
        )
    if not any(data[:16]):
        raise ImageError("zero_filled", "its first bytes are zero: not written yet, or lost", retry=True)
    kind = next((name for head, name in _SIGNATURES if data.startswith(head)), None)
    kind = kind or next((name for at, head, name in _LATER_SIGNATURES if data.startswith(head, at)), None)
    if kind is None and any(head.startswith(data) for head, name in _SIGNATURES if name in formats):
        raise ImageError("truncated", f"has only {len(data)} bytes", retry=True)
    if kind == "BMP" and len(data) >= 18 and int.from_bytes(data[14:18], "little") not in bmp.HEADER_SIZES:
        kind = None  # a text may begin with BM too
    if kind is None:
        raise ImageError("not_an_image", "its first bytes are those of no image format")
    if kind not in formats:
        raise ImageError("format_not_allowed", f"is {kind}; allowed are {', '.join(formats)}")
    return kind


def _refuse_second_picture(data: bytes, end: int) -> None:
    """Refuse a picture, or a piece of it, behind the first, as resumed uploads leave it; padding is allowed.

    An upload that began again in the middle leaves a part of the first picture before the whole second one.
    In a format without an end mark that looks like one picture with something behind it.

    Raises:
        ImageError: ``multi_frame``; or ``corrupt``, a piece comes twice, so the pixels behind it moved.
    """
    again = len(data) - end
    if _SECOND.search(data, end) or (again >= 8 and data[again : again + 8] == data[:8]):
        raise ImageError("multi_frame", "has a second picture behind its end; write one picture to a file")
    if again >= _MIN_PIECE_BYTES and _comes_twice(data, again):
        raise ImageError(
            "corrupt", f"has a piece of {again} bytes twice, as a resumed upload leaves it", retry=True
        )


def _comes_twice(data: bytes, size: int) -> bool:
    """Whether some piece of so many bytes is followed by itself; a piece of one colour does not count."""
    content = np.frombuffer(data, np.uint8)
    other = np.flatnonzero(content[:-size] != content[size:])
    starts = np.concatenate([[0], other + 1])
    lengths = np.concatenate([other, [len(content) - size]]) - starts
    return any(len(set(data[at : at + size])) > 2 for at in starts[lengths >= size].tolist()[:100])
