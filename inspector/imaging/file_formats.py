"""What a file is by its first bytes, and whether the end of its format is there."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from inspector.errors import ImageError
from inspector.imaging import png

_MAX_JPEG_SCANS: Final = 100  # of a progressive JPEG; cameras write one, photo editors about ten
_MAX_JPEG_SEGMENTS: Final = 100_000  # skipping them takes a second
_SIGNATURES: Final = (
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"BM", "BMP"),
    *((head, "TIFF") for head in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")),
    (b"GIF8", "GIF"),
    (b"RIFF", "WebP"),
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
)
_DIB_HEADER_SIZES: Final = (12, 16, 40, 52, 56, 64, 108, 124)
_JPEG_MARKER: Final = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")  # not stuffing, fill or restart


def check(data: bytes, formats: Sequence[str]) -> str:
    """Return the format; refuse a file by its first bytes or by its missing end, before Pillow sees it.

    Args:
        data: the whole file.
        formats: names of the formats to accept.

    Raises:
        ImageError: ``empty``, ``zero_filled``, ``truncated``, ``not_an_image``, ``format_not_allowed`` or
            ``too_large``; see :mod:`inspector.imaging.decoder`.
    """
    if not data:
        raise ImageError("empty", "has no bytes", retry=True)
    if not any(data[:16]):
        raise ImageError("zero_filled", "its first bytes are zero: not written yet, or lost", retry=True)
    kind = next((name for head, name in _SIGNATURES if data.startswith(head)), None)
    if kind is None and any(head.startswith(data) for head, name in _SIGNATURES if name in formats):
        raise ImageError("truncated", f"has only {len(data)} bytes", retry=True)
    if kind == "BMP" and len(data) >= 18 and int.from_bytes(data[14:18], "little") not in _DIB_HEADER_SIZES:
        kind = None  # a text may begin with BM too
    if kind is None:
        raise ImageError("not_an_image", "its first bytes are those of no image format")
    if kind not in formats:
        raise ImageError("format_not_allowed", f"is {kind}; allowed are {', '.join(formats)}")
    if not _is_complete(data, kind):
        raise ImageError("truncated", f"ends before the end of its {kind} image", retry=True)
    return kind


def _is_complete(data: bytes, kind: str) -> bool:
    """Whether the format's own end is there, which Pillow does not check; a TIFF has no end mark."""
    if kind == "PNG":
        return png.is_complete(data)
    if kind == "JPEG":
        return _is_complete_jpeg(data)
    if kind == "BMP":
        return len(data) >= max(26, int.from_bytes(data[2:6], "little"))
    return True


def _is_complete_jpeg(data: bytes) -> bool:
    """Whether the end mark is there; segments are skipped, since an EXIF thumbnail has its own end mark."""
    marker, scans = _JPEG_MARKER.search(data, 2), 0
    for _ in range(_MAX_JPEG_SEGMENTS):
        if marker is None:
            return False
        code, position = data[marker.start() + 1], marker.end()
        if code == 0xD9:
            return True
        scans += code == 0xDA
        if scans > _MAX_JPEG_SCANS:
            break
        if code not in (0x01, 0xD8):
            position += int.from_bytes(data[position : position + 2], "big")
        marker = _JPEG_MARKER.search(data, position)
    raise ImageError("too_large", f"has more than {_MAX_JPEG_SCANS} scans or {_MAX_JPEG_SEGMENTS} segments")
