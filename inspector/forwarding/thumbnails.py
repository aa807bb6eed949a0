"""Small pictures of archived images for people at the centre; the files stay at the station."""

from __future__ import annotations

import io
import time
from typing import Final

from PIL import Image

from inspector.errors import ImageError
from inspector.forwarding.copying import Row
from inspector.forwarding.own import ArchivedImage
from inspector.imaging import decoder
from inspector.imaging.fitting import fitted
from inspector.imaging.source import MAX_FILE_BYTES
from inspector.ledger.schema import MAX_THUMBNAIL_BYTES
from inspector.station.archive_places import ArchivePlace

_SIDE: Final = 640  # pixels of the longer side: a defect of 1% of the frame still has six
_QUALITIES: Final = (85, 70, 55, 40)  # of the JPEG; below, smaller pictures show more
_SMALLER: Final = 0.75


def row_of(image: ArchivedImage | None, number: int, archive: ArchivePlace) -> Row:
    """Return the row of ``thumbnail`` for an image: its picture, or the reason why there is none.

    Args:
        image: as the station's ledger describes it; None if it is not there.
        number: of the inspection at the centre.
        archive: the station's.

    Raises:
        OSError: the place does not answer, which no image is blamed for.
    """
    picture, reason = _answer(image, archive)
    made_us = time.time_ns() // 1000
    return {"inspection_id": number, "picture": picture, "reason": reason, "made_us": made_us}


def _answer(image: ArchivedImage | None, archive: ArchivePlace) -> tuple[bytes | None, str | None]:
    if image is None:
        return None, "vanished"
    try:
        data, sha256 = archive.read(image.path, MAX_FILE_BYTES)
        if sha256 != image.sha256:
            return None, "altered"
        return small_jpeg(Image.fromarray(decoder.decode(data, bit_depth=image.bit_depth))), None
    except ImageError as error:
        return None, error.reason


def small_jpeg(frame: Image.Image) -> bytes:
    """Return a grey frame as a JPEG of at most :data:`MAX_THUMBNAIL_BYTES`, as large as fits."""
    side = min(_SIDE, max(frame.size))
    while True:
        picture = fitted(frame, side)
        for quality in _QUALITIES:
            buffer = io.BytesIO()
            picture.save(buffer, "JPEG", quality=quality, optimize=True)
            if buffer.tell() <= MAX_THUMBNAIL_BYTES:
                return buffer.getvalue()
        side = round(side * _SMALLER)
