"""JPEG: which processes are read, and where the picture ends.

A camera that stores a smaller copy, or a phone's gain map, behind the picture names it in an MPF segment
(CIPA DC-007). Such a copy or map does not count as a second picture. Another view of the scene does.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from typing import Final

from inspector.errors import ImageError

_MAX_SCANS: Final = 100  # of a progressive JPEG; cameras write one, photo editors about ten
_MAX_SEGMENTS: Final = 100_000  # skipping them takes a second
_MARKER: Final = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")  # not stuffing, fill or restart
_END, _SCAN, _START, _TEMPORARY, _MPF, _ADOBE = 0xD9, 0xDA, 0xD8, 0x01, 0xE2, 0xEE
_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_PROCESSES: Final = {
    0xC3: "lossless JPEG",
    0xC5: "hierarchical JPEG",
    0xC6: "hierarchical JPEG",
    0xC7: "hierarchical JPEG",
    0xC9: "JPEG with arithmetic coding",
    0xCA: "JPEG with arithmetic coding",
    0xCB: "lossless JPEG",
    0xCD: "hierarchical JPEG",
    0xCE: "hierarchical JPEG",
    0xCF: "hierarchical JPEG",
    0xF7: "JPEG-LS",
}
_THUMBNAILS: Final = (0x010001, 0x010002)  # MP types: large thumbnails
_UNDEFINED: Final = 0  # the type of gain maps, and of copies by writers that state no type
_GAIN_MAP: Final = re.compile(rb"hdrgm|HDRGainMap|urn:iso:std:iso:ts:21496")


@dataclass(frozen=True, slots=True)
class Structure:
    """The structure of a JPEG, from its markers.

    Attributes:
        end: where the picture and its copies end.
        components: 1 for grey, 3 for colour, 4 for CMYK.
        has_adobe: whether Adobe's segment is there; its writers store CMYK inverted.
    """

    end: int
    components: int
    has_adobe: bool


def check(jpeg: bytes) -> Structure:
    """Walk through the segments. They are skipped, since an EXIF thumbnail has its own end mark.

    Raises:
        ImageError: ``truncated``, ``unsupported``, ``too_large`` or ``multi_frame``.
    """
    at, scans, components, size = _MARKER.search(jpeg, 2), 0, 0, (0, 0)
    index, has_adobe = -1, False
    for _ in range(_MAX_SEGMENTS):
        if at is None:
            raise ImageError("truncated", "ends before the end of its JPEG image", retry=True)
        code, position = jpeg[at.start() + 1], at.end()
        if code == _END:
            return Structure(_end_of_copies(jpeg, index, position, size), components, has_adobe)
        if code == _START:
            raise ImageError("multi_frame", "has a second picture inside; write one picture to a file")
        scans += code == _SCAN
        if scans > _MAX_SCANS:
            break
        if code in _FRAMES or code in _PROCESSES:
            components, size = _check_frame(code, jpeg[position : position + 8])
        if code == _MPF and jpeg[position + 2 : position + 6] == b"MPF\0" and index < 0:
            index = position + 6
        has_adobe |= code == _ADOBE and jpeg[position + 2 : position + 7] == b"Adobe"
        if code != _TEMPORARY:
            position += int.from_bytes(jpeg[position : position + 2], "big")
        at = _MARKER.search(jpeg, position)
    raise ImageError("too_large", f"has more than {_MAX_SCANS} scans or {_MAX_SEGMENTS} segments")


def _check_frame(code: int, segment: bytes) -> tuple[int, tuple[int, int]]:
    """Return the components, and width and height."""
    if len(segment) < 8:
        raise ImageError("truncated", "ends before the end of its JPEG image", retry=True)
    _, bits, height, width, components = struct.unpack(">HBHHB", segment)
    if code in _PROCESSES:
        raise ImageError("unsupported", f"is {_PROCESSES[code]}; write baseline or progressive JPEG, or PNG")
    if bits != 8:
        raise ImageError("unsupported", f"is {bits}-bit JPEG; write 8 bits, or a 16-bit PNG or TIFF")
    if components not in (1, 3, 4):
        raise ImageError("unsupported", f"is JPEG with {components} components")
    return components, (width, height)


# --- copies behind the picture ------------------------------------------------------------------------------


def _end_of_copies(jpeg: bytes, index: int, end: int, size: tuple[int, int]) -> int:
    """Return the end of the last copy that the MPF segment at ``index`` lists; ``end`` if there is none."""
    for kind, start, length in _listed(jpeg, index) if index >= 0 else ():
        copy = jpeg[start : start + length]
        if start < end or not copy.startswith(b"\xff\xd8"):
            continue  # the picture itself, or a list that went stale when somebody edited the file
        is_gain_map = kind == _UNDEFINED and _GAIN_MAP.search(copy, 0, 65_536) is not None
        if not is_gain_map and (kind not in (*_THUMBNAILS, _UNDEFINED) or not _is_smaller(copy, size)):
            raise ImageError("multi_frame", "holds several views of the scene; write one picture to a file")
        end = max(end, start + length)
    return end


def _listed(jpeg: bytes, index: int) -> list[tuple[int, int, int]]:
    """Return type, begin and length of each picture in an MPF segment; none of a broken segment."""
    order = {b"II": "<", b"MM": ">"}.get(jpeg[index : index + 2])
    if order is None:
        return []
    try:
        at = index + struct.unpack_from(order + "I", jpeg, index + 4)[0]
        (count,) = struct.unpack_from(order + "H", jpeg, at)
        for entry in range(min(count, 16)):
            tag, _, size, place = struct.unpack_from(order + "HHII", jpeg, at + 2 + 12 * entry)
            if tag == 0xB002:  # MP Entry: 16 bytes for each picture
                rows = [
                    struct.unpack_from(order + "III", jpeg, index + place + 16 * row)
                    for row in range(min(size // 16, 100))
                ]
                return [(about & 0xFFFFFF, index + start, length) for about, length, start in rows[1:]]
    except struct.error:
        pass
    return []


def _is_smaller(copy: bytes, size: tuple[int, int]) -> bool:
    """Whether a copy is a JPEG with smaller sides than the picture."""
    at = _MARKER.search(copy, 2)
    for _ in range(100):
        if at is None:
            return False
        code, position = copy[at.start() + 1], at.end()
        if code in _FRAMES and position + 7 <= len(copy):
            height, width = struct.unpack_from(">HH", copy, position + 3)
            return bool(0 < width < size[0] and 0 < height < size[1])
        at = _MARKER.search(copy, position + int.from_bytes(copy[position : position + 2], "big"))
    return False
