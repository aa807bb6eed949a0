"""Grey pixels of a JPEG by libjpeg, and what its warnings say about them.

libjpeg fills missing parts with grey and warns, but Pillow hides the warning. So the pixels come from the
same libjpeg by a binding that passes its first warning on.

libjpeg reads ahead: up to eight bytes behind the last pixel go unnoticed, those of a padded picture like
those that a damaged scan leaves. So a second pass, without transforms, decodes the coded bytes without their
last one. A sound picture needs that byte, and libjpeg then says that the scan ends too early.
"""

from __future__ import annotations

import re
from typing import Final

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image

from inspector.errors import ImageError
from inspector.imaging import jpeg

# Cameras by Logitech and Foscam leave a few bytes before the end mark, of which libjpeg warns. It does so
# after the last pixel, and its first warning is the one that is seen: the pixels came without one. More bytes
# are left by a damaged scan.
_PADDING: Final = re.compile(r"(\d+) extraneous bytes before marker 0xd9")
_MAX_PADDING: Final = 64
_END_MARK: Final = b"\xff\xd9"
# What may come before the end mark without being padding: fill bytes, restart marks, and a byte of ones, by
# which some encoders fill up a scan that ends at a whole byte.
_ALLOWED_TAIL: Final = re.compile(rb"(?:\xff[\x00\xd0-\xd7]?)*\Z")


def decode(data: bytes, structure: jpeg.Structure) -> tuple[NDArray[np.uint8], str | None]:
    """Return the luma, uint8[h, w], and the flaw ``padded`` or None.

    Raises:
        ImageError: ``truncated``, ``corrupt`` or ``unsupported``.
        ValueError: libjpeg refuses the picture.
    """
    if structure.components == 4 and not structure.has_adobe:
        raise ImageError(
            "unsupported", "is CMYK JPEG that does not say how its inks are stored; write grey or RGB"
        )
    space, coded = _space(structure), data[: structure.end_of_scan]
    flaw = None
    try:
        pixels = simplejpeg.decode_jpeg(data, colorspace=space, strict=True)
    except ValueError as error:
        flaw = _flaw(str(error))
        pixels = simplejpeg.decode_jpeg(data, colorspace=space, strict=False)
        if flaw is None:  # a warning of odd metadata came first, and hides any other
            coded = jpeg.without_metadata(coded)
            flaw = _flaw_of_scans(coded, space)
    flaw = flaw or _hidden_padding(coded, space)
    if space == "CMYK":  # Adobe's writers store the inks inverted
        inks = Image.frombytes("CMYK", pixels.shape[1::-1], np.subtract(255, pixels).tobytes())
        return np.array(inks.convert("L"), dtype=np.uint8), flaw
    return pixels[:, :, 0], flaw


def find_flaw(data: bytes, structure: jpeg.Structure) -> str | None:
    """Return the flaw ``padded`` or None of a JPEG inside another format, whose decoder hides the warnings.

    Raises:
        ImageError: ``truncated``, ``corrupt`` or ``unsupported``.
    """
    coded = jpeg.without_metadata(data[: structure.end_of_scan])
    return _flaw_of_scans(coded, _space(structure)) or _hidden_padding(coded, _space(structure))


def _space(structure: jpeg.Structure) -> str:
    return "CMYK" if structure.components == 4 else "GRAY"


def _flaw(said: str) -> str | None:
    """Return the flaw that a message of libjpeg is about; None if it is about other things than the scans."""
    said = " ".join(said.split())
    padding = _PADDING.search(said.lower())
    if padding and int(padding[1]) <= _MAX_PADDING:
        return "padded"
    if "premature end" in said.lower():
        raise ImageError("truncated", f"cannot be decoded: {said}", retry=True)
    if "unsupported" in said.lower() or "not implemented" in said.lower():
        raise ImageError("unsupported", f"is JPEG that is not read: {said}")
    if "corrupt" in said.lower():
        raise ImageError("corrupt", f"cannot be decoded: {said}", retry=True)
    return None


def _flaw_of_scans(coded: bytes, space: str) -> str | None:
    said = _message(coded, space)
    return _flaw(said) if said else None


def _hidden_padding(coded: bytes, space: str) -> str | None:
    """Return ``padded`` if the scans need less than all of their bytes."""
    needed = _ALLOWED_TAIL.sub(b"", coded[-_MAX_PADDING:])
    cut = coded[: max(len(coded) - _MAX_PADDING, 0)] + needed[:-1]
    said = _message(cut, space)
    return None if said and "premature end" in said.lower() else "padded"


def _message(coded: bytes, space: str) -> str | None:
    """Return the first message of libjpeg about coded bytes; the pixels are not computed."""
    try:
        simplejpeg.decode_jpeg(coded + _END_MARK, colorspace=space, min_height=1, min_width=1, min_factor=8)
    except ValueError as error:
        return " ".join(str(error).split())
    return None
