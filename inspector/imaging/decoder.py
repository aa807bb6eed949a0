"""Turns bytes into a grey uint8 frame: the one decoder of training and inspection.

:func:`decode` raises only :class:`ImageError`, for any bytes. These are its reasons. "retry" marks the ones
that may pass, because a writer may still be at work:

=====================  =====  ===========================================================================
``empty``              retry  no bytes yet
``zero_filled``        retry  space was reserved, the first bytes are not written yet
``truncated``          retry  the image ends before its own end mark or its own stated size
``corrupt``            retry  the decoder refuses it; parts may be written out of order (SMB, NFS)
``no_memory``          retry  the station has too little memory now
``not_an_image``              the first bytes are those of no image format
``format_not_allowed``        an image, of a format that is not in the list
``multi_frame``               several pictures in one file: judging the first would pass the others
``too_large``                 more pixels, bytes, scans or chunks than the station takes, or a longer side
``too_small``                 a side under ``MIN_SIDE`` pixels
``unsupported``               sound, but not known to be read rightly: float, Lab, a TIFF of a rare layout
=====================  =====  ===========================================================================

Limits: a JPEG has no checksum, so flipped bits inside one may decode to wrong pixels. Most of them leave its
    scan too short or too long, which is noticed (:mod:`inspector.imaging.jpeg_pixels`). The same holds for a
    TIFF that is compressed by LZW or not at all. The EXIF orientation of a JPEG is not applied,
    since a camera over a seam does not turn.
"""

from __future__ import annotations

import hashlib
import io
import re
import struct
import warnings
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from inspector.errors import ImageError as ImageError
from inspector.imaging import file_formats, jpeg_pixels, png, tiff

FORMATS: Final = ("PNG", "JPEG", "BMP", "TIFF")
MAX_PIXELS: Final = 50_000_000  # 64 × the paper's 800×974 frame; Pillow itself stops at 178 million
MAX_SIDE: Final = 65_535  # pixels, as in a JPEG; resizing 8×6,250,000 pixels takes half a minute and 5 GB
MIN_SIDE: Final = 8  # pixels; a smaller image shows no weld, and enlarging it would invent one

_MAX_UNUSED_BITS: Final = (
    2  # a fourth of the range is what a dark exposure uses; fewer levels are a wrong depth
)

# Pillow warns of odd metadata in sound files, and of faults that ImageError reports anyway.
warnings.filterwarnings("ignore", module=r"PIL\.")

_TO_GREY: Final = ("1", "L", "LA", "La", "P", "PA", "RGB", "RGBX", "RGBA", "RGBa", "CMYK", "YCbCr")
# Errors of Pillow's plugins on hostile bytes; warnings too, if a caller made them errors.
_DECODER_ERRORS: Final = (
    OSError,
    SyntaxError,
    ValueError,
    ArithmeticError,
    LookupError,
    TypeError,
    AttributeError,
    AssertionError,
    RuntimeError,
    EOFError,
    struct.error,
    zlib.error,
    Warning,
)


@dataclass(frozen=True, slots=True)
class Picture:
    """One decoded image file.

    Attributes:
        pixels: uint8[h, w], writable, owning its memory.
        flaw: ``padded`` if bytes that belong to no pixel come before a JPEG's end mark; else None. All pixels
            are there, but a damaged scan may look so too, and people must look at such a frame.
        unused_bits: number of the highest bits that no pixel of a file with 16-bit words uses, or that the
            file itself says are unused (MaxSampleValue); None for other files.
    """

    pixels: NDArray[np.uint8]
    flaw: str | None = None
    unused_bits: int | None = None


def decode(
    data: bytes,
    *,
    formats: Sequence[str] = FORMATS,
    max_pixels: int = MAX_PIXELS,
    bit_depth: int = 8,
) -> NDArray[np.uint8]:
    """Decode one image file in full to grey: the pixels of :func:`decode_picture`.

    Raises:
        ImageError: nothing else; see the module's table.
    """
    return decode_picture(data, formats=formats, max_pixels=max_pixels, bit_depth=bit_depth).pixels


def decode_picture(
    data: bytes,
    *,
    formats: Sequence[str] = FORMATS,
    max_pixels: int = MAX_PIXELS,
    bit_depth: int = 8,
) -> Picture:
    """Decode one image file in full to grey.

    Colour becomes grey by ITU-R 601 luma. Alpha is dropped, so the hidden colour shows. Palettes and 1-bit
    images are expanded. The content decides the format; the file's name does not matter.

    Args:
        data: the whole file.
        formats: Pillow's names of the formats to accept, out of ``FORMATS``.
        max_pixels: limit on width × height, checked in the header before any pixel is decoded.
        bit_depth: significant bits, 8 to 16, of frames stored in 16-bit words: the value is shifted right by
            ``bit_depth - 8`` and clipped. If a 16-bit frame comes and this is 8, all 16 bits are significant.
            8-bit files are taken as they are.

    Raises:
        ImageError: nothing else; see the module's table.
    """
    try:
        found = file_formats.check(data, formats)
        with Image.open(io.BytesIO(data), formats=[found.name]) as image:
            if found.tiff and found.tiff.page:
                image.seek(found.tiff.page)
            _check_header(image, max_pixels)
            word_bits = _word_bits(image, bit_depth)
            if found.jpeg:
                return Picture(*jpeg_pixels.decode(data, found.jpeg))
            flaw = found.tiff.blocks.find_flaw() if found.tiff else None
            is_wide = _has_wide_words(image)
            if found.name == "PNG":
                pixels = _grey_from_png(data, image, word_bits)
            else:
                image.load()
                pixels = _grey(image, word_bits)
            unused = _unused_bits(pixels, word_bits, found.tiff) if is_wide else None
            return Picture(pixels, flaw, unused)
    except ImageError:
        raise
    except Image.DecompressionBombError:
        raise ImageError("too_large", f"has far more than the {max_pixels} pixels allowed") from None
    except MemoryError:
        raise ImageError("no_memory", "there is not enough memory to decode it", retry=True) from None
    except _DECODER_ERRORS as error:
        reason = "truncated" if "truncated" in str(error).lower() else "corrupt"
        raise ImageError(reason, f"cannot be decoded: {_one_line(error)}", retry=True) from None


def unused_bits_warning(unused_bits: int | None, bit_depth: int) -> str | None:
    """Return a line for people if frames in 16-bit words keep too few grey levels; else None.

    Args:
        unused_bits: of all frames that were seen; see :class:`Picture`.
        bit_depth: as in :func:`decode`.
    """
    if unused_bits is None or unused_bits < _MAX_UNUSED_BITS:
        return None
    used = (bit_depth if bit_depth > 8 else 16) - unused_bits
    depth = next((depth for depth in (10, 12, 14) if 8 < used <= depth), None)
    cure = f"train with data.bit_depth={depth}" if depth else "let the camera write 8-bit files"
    levels = f"{1 << (8 - unused_bits)} of 256 grey levels are" if unused_bits < 8 else "no grey level is"
    return f"16-bit frames use only their lower {used} bits, so {levels} left; {cure}"


def read_image(
    path: Path,
    *,
    formats: Sequence[str] = FORMATS,
    max_pixels: int = MAX_PIXELS,
    bit_depth: int = 8,
) -> NDArray[np.uint8]:
    """Read and decode one file of a data set (links are followed, unlike in a drop folder).

    Returns:
        uint8[h, w]; see :func:`decode`.

    Raises:
        ImageError: it cannot be read, or see :func:`decode`.
    """
    return read_picture(path, formats=formats, max_pixels=max_pixels, bit_depth=bit_depth).pixels


def read_picture(
    path: Path,
    *,
    formats: Sequence[str] = FORMATS,
    max_pixels: int = MAX_PIXELS,
    bit_depth: int = 8,
) -> Picture:
    """Do as :func:`read_image`, and return what :func:`decode_picture` returns.

    Raises:
        ImageError: it cannot be read, or see :func:`decode`.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ImageError("unreadable", f"cannot be read: {error.strerror}") from None
    return decode_picture(data, formats=formats, max_pixels=max_pixels, bit_depth=bit_depth)


def content_hash(pixels: NDArray[np.uint8]) -> str:
    """The first 16 digits of the SHA-256 of a decoded frame's size and pixels, uint8[h, w].

    It is of pixels, not of the file, so a copy in another format or with other metadata has the same one. An
    artifact records those of the frames that it learnt from.
    """
    digest = hashlib.sha256(str(pixels.shape).encode())
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.hexdigest()[:16]


def _check_header(image: Image.Image, max_pixels: int) -> None:
    width, height = image.size
    if width * height > max_pixels:
        raise ImageError("too_large", f"has {width}×{height} pixels; {max_pixels} are allowed")
    if max(width, height) > MAX_SIDE:
        raise ImageError("too_large", f"has {width}×{height} pixels; a side may have {MAX_SIDE}")
    if min(width, height) < MIN_SIDE:
        raise ImageError("too_small", f"has {width}×{height} pixels; a side needs {MIN_SIDE}")
    if image.format == "PNG" and getattr(image, "is_animated", False):
        raise ImageError("multi_frame", "holds several pictures; write one picture to a file")


def _word_bits(image: Image.Image, bit_depth: int) -> int:
    """Return the significant bits of pixels in 16-bit words; call it before the image is loaded."""
    raw_modes = str([tile.args for tile in getattr(image, "tile", [])])
    if "I;12" in raw_modes:  # a TIFF that packs 12 bits says so itself
        return 12
    if ";16" in raw_modes and image.mode[0] != "I" and 8 < bit_depth < 16:
        # Pillow keeps the high byte of 16-bit colour, so only four of 12 bits would be left.
        raise ImageError("unsupported", f"has 16-bit {image.mode} pixels with {bit_depth} significant bits")
    return bit_depth if bit_depth > 8 else 16


def _has_wide_words(image: Image.Image) -> bool:
    """Whether each sample takes 16 bits or more; call it before the image is loaded."""
    raw_modes = str([tile.args for tile in getattr(image, "tile", [])])
    return (image.mode[0] == "I" or ";16" in raw_modes) and image.format != "BMP" and "I;12" not in raw_modes


def _unused_bits(pixels: NDArray[np.uint8], word_bits: int, picture: tiff.Picture | None) -> int:
    unused, max_sample = 8 - int(pixels.max()).bit_length(), picture.max_sample if picture else None
    return max(unused, word_bits - max_sample.bit_length()) if max_sample else unused


def _grey(image: Image.Image, word_bits: int) -> NDArray[np.uint8]:
    """Return uint8[h, w] of a loaded image."""
    if image.mode == "I" or image.mode.startswith("I;16"):
        return _grey_from_words(image, word_bits)
    if image.mode not in _TO_GREY:
        raise ImageError("unsupported", f"has {image.mode} pixels, whose grey value is not defined")
    grey = image if image.mode == "L" else image.convert("L")  # a grey image would be copied
    return np.array(grey, dtype=np.uint8)


def _grey_from_png(data: bytes, image: Image.Image, word_bits: int) -> NDArray[np.uint8]:
    """Do as :func:`_grey`, with pixels inflated faster than by Pillow, and with checked checksums."""
    if (quick := png.with_stored_pixels(data)) is None:
        image.load()
        grey = _grey(image, word_bits)
    else:
        with Image.open(io.BytesIO(quick), formats=["PNG"]) as same:
            same.load()
            grey = _grey(same, word_bits)
    png.check_sums(data)
    return grey


def _grey_from_words(image: Image.Image, word_bits: int) -> NDArray[np.uint8]:
    """Scale words to 8 bits; ``convert("L")`` would clip them to 255 instead."""
    values = np.asarray(image)
    if image.mode == "I" and (values.min() < 0 or values.max() > 0xFFFF):
        raise ImageError("unsupported", "has 32-bit pixels of unknown scale")
    grey: NDArray[np.uint8] = np.minimum(values >> (word_bits - 8), 255).astype(np.uint8)
    return grey


def _one_line(error: Exception) -> str:
    return re.sub(r" <_io\.BytesIO.*>", "", " ".join(str(error).split()))[:200] or type(error).__name__
