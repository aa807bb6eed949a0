"""JPEG: which processes are read, and where the picture ends.

A camera that stores a smaller copy, or a phone's gain map, behind the picture names it in an MPF segment
(CIPA DC-007). Such a copy or map does not count as a second picture. Another view of the scene does.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from inspector.errors import ImageError

_MAX_SCANS: Final = 100  # of a progressive JPEG; cameras write one, photo editors about ten
_MAX_SEGMENTS: Final = 100_000  # skipping them takes a second
_MARKER: Final = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")  # not stuffing, fill or restart
_END, _SCAN, _START, _TEMPORARY, _MPF, _ADOBE = 0xD9, 0xDA, 0xD8, 0x01, 0xE2, 0xEE
_PROGRESSIVE: Final = 0xC2
_APPLICATIONS: Final = range(0xE0, 0xF0)
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
        end_of_scan: where the last scan's coded bytes end.
        size: width and height.
        components: 1 for grey, 3 for colour, 4 for CMYK.
        has_adobe: whether Adobe's segment is there; its writers store CMYK inverted.
    """

    end: int
    end_of_scan: int
    size: tuple[int, int]
    components: int
    has_adobe: bool


class _Scans:
    """What the scans have brought of each component: the lowest bit of each of its 64 coefficients."""

    def __init__(self) -> None:
        self.number = 0
        self._is_progressive = False
        self._low_bits: dict[int, bytearray] = {}

    def begin(self, code: int, frame: bytes) -> None:
        """Take the components from the content of a frame's segment."""
        self._is_progressive = code == _PROGRESSIVE
        self._low_bits = {component: bytearray(b"\xff" * 64) for component in frame[6 : 6 + 3 * frame[5] : 3]}

    def add(self, scan: bytes) -> None:
        """Add a scan by the content of its segment."""
        self.number += 1
        count = scan[0] if scan else 0
        about = scan[1 + 2 * count : 4 + 2 * count]
        first, last, low = (about[0], about[1], about[2] & 15) if len(about) == 3 else (64, 0, 0)
        if not self._is_progressive:
            first, last, low = 0, 63, 0  # other values mean nothing there
        for component in scan[1 : 1 + 2 * count : 2]:
            if component in self._low_bits and first <= last < 64:
                self._low_bits[component][first : last + 1] = bytes([low]) * (last + 1 - first)

    @property
    def are_complete(self) -> bool:
        """Whether each coefficient of each component has come down to its last bit."""
        return not any(any(bits) for bits in self._low_bits.values())


def check(jpeg: bytes) -> Structure:
    """Walk through the segments. They are skipped, since an EXIF thumbnail has its own end mark.

    libjpeg takes an end mark between two scans for a sound end: a progressive picture is then blurred, and a
    component that has no scan is grey. So the scans must bring all of the picture.

    Raises:
        ImageError: ``truncated``, ``unsupported``, ``too_large`` or ``multi_frame``.
    """
    components, size, end_of_scan, scans = 0, (0, 0), 0, _Scans()
    index, has_adobe = -1, False
    for code, start, content, end in _segments(jpeg):
        if code == _END:
            if not scans.are_complete:
                raise ImageError("truncated", "ends before the last scan of its JPEG image", retry=True)
            end_of_scan = end_of_scan or start
            end_of_all = _end_of_copies(jpeg, index, end, size)
            return Structure(end_of_all, end_of_scan, size, components, has_adobe)
        if code == _START:
            raise ImageError("multi_frame", "has a second picture inside; write one picture to a file")
        if code in _FRAMES or code in _PROCESSES:
            components, size = _check_frame(code, jpeg[content : content + 18])
            scans.begin(code, jpeg[content : content + 18])
        end_of_scan = 0 if code == _SCAN else end_of_scan or start
        if code == _SCAN:
            scans.add(jpeg[content:end])
            if scans.number > _MAX_SCANS:
                break
        if code == _MPF and jpeg[content : content + 4] == b"MPF\0" and index < 0:
            index = content + 4
        has_adobe |= code == _ADOBE and jpeg[content : content + 5] == b"Adobe"
    raise ImageError("too_large", f"has more than {_MAX_SCANS} scans or {_MAX_SEGMENTS} segments")


def without_metadata(coded: bytes) -> bytes:
    """Return a JPEG, without its end mark, in the parts that its scans need.

    Left out are the segments of applications. In a sequential scan, values that mean nothing get the values
    of the standard. libjpeg warns of both, and only its first warning is seen.
    """
    parts, position, is_progressive = [coded[:2]], 2, False
    for code, start, _, end in _segments(coded + b"\xff\xd9"):
        if code == _END:
            break
        is_progressive |= code == _PROGRESSIVE
        if code in _APPLICATIONS:
            parts.append(coded[position:start])
            position = end
        elif code == _SCAN and not is_progressive:
            parts += [coded[position : end - 3], b"\0\x3f\0"]
            position = end
    return b"".join([*parts, coded[position:]])


def _segments(jpeg: bytes) -> Iterator[tuple[int, int, int, int]]:
    """Yield code, begin, begin of the content, and end of each segment; coded bytes are skipped.

    Raises:
        ImageError: ``truncated``, there is no end mark.
    """
    at = _MARKER.search(jpeg, 2)
    for _ in range(_MAX_SEGMENTS):
        if at is None:
            raise ImageError("truncated", "ends before the end of its JPEG image", retry=True)
        code, end = jpeg[at.start() + 1], at.end()
        if code not in (_END, _START, _TEMPORARY):
            end += int.from_bytes(jpeg[end : end + 2], "big")
        yield code, at.start(), min(at.end() + 2, end), end
        at = _MARKER.search(jpeg, end)


def _check_frame(code: int, frame: bytes) -> tuple[int, tuple[int, int]]:
    """Return the components, and width and height."""
    if len(frame) < 6:
        raise ImageError("truncated", "ends before the end of its JPEG image", retry=True)
    bits, height, width, components = struct.unpack_from(">BHHB", frame)
    if code in _PROCESSES:
        raise ImageError("unsupported", f"is {_PROCESSES[code]}; write baseline or progressive JPEG, or PNG")
    if bits != 8:
        raise ImageError("unsupported", f"is {bits}-bit JPEG; write 8 bits, or a 16-bit PNG or TIFF")
    if not height:
        raise ImageError("unsupported", "is JPEG that states its height behind the scan; write it before")
    if components not in (1, 3, 4):
        raise ImageError("unsupported", f"is JPEG with {components} components")
    factors = {(factor >> 4, factor & 15) for factor in frame[10:15:3]}
    if components == 3 and len(frame) == 15 + 3 and (len(factors) > 1 or not _is_usual(frame[7], *factors)):
        raise ImageError("unsupported", "is JPEG whose colours are sampled in an unusual way")
    return components, (width, height)


def _is_usual(luma: int, chroma: tuple[int, int]) -> bool:
    """Whether the luma has one, two or four samples for each of the chroma, and four in two rows at most."""
    across, down = (a / b if b else 0 for a, b in zip((luma >> 4, luma & 15), chroma, strict=True))
    return (across, down) in ((1, 1), (2, 1), (1, 2), (2, 2), (4, 1), (1, 4))


# --- copies behind the picture ------------------------------------------------------------------------------


def _end_of_copies(jpeg: bytes, index: int, end: int, size: tuple[int, int]) -> int:
    """Return the end of the last copy that the MPF segment at ``index`` lists; ``end`` if there is none."""
    for kind, start, length in _listed(jpeg, index) if index >= 0 else ():
        copy = jpeg[start : start + length]
        if start < end or not copy.startswith(b"\xff\xd8"):
            continue  # the picture itself, or a list that went stale when somebody edited the file
        is_gain_map = kind == _UNDEFINED and _GAIN_MAP.search(copy, 0, 65_536) is not None
        own_end, own_size = _end_and_size(copy)
        is_smaller = all(0 < own < main for own, main in zip(own_size, size, strict=True))
        if not is_gain_map and (kind not in (*_THUMBNAILS, _UNDEFINED) or not is_smaller):
            raise ImageError("multi_frame", "holds several views of the scene; write one picture to a file")
        end = max(end, start + own_end)  # not the listed length, which may hide another picture
    return end


def _end_and_size(copy: bytes) -> tuple[int, tuple[int, int]]:
    """Return where a copy ends, and its width and height; what is there of one that was cut off."""
    size = (0, 0)
    try:
        for code, _, content, end in _segments(copy):
            if code == _END:
                return end, size
            if code in _FRAMES and len(copy) >= content + 5:
                height, width = struct.unpack_from(">HH", copy, content + 1)
                size = (width, height)
    except ImageError:
        pass
    return len(copy), size


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
