"""Names of files: a safe text form of their bytes, and camera, part, seam and time by a pattern."""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime, tzinfo
from pathlib import PurePath
from typing import Final
from urllib.parse import unquote_to_bytes

from inspector.records import NameParts

MAX_NAME_BYTES: Final = 255  # of a file name, on Linux file systems and on shares
# '%' itself is escaped so that the mapping can be undone (to_path does); control
# characters and Unicode's own line ends would break lines in reports and logs.
_UNSAFE_CHARACTER = re.compile(r"[%\x00-\x1f\x7f-\x9f\u2028\u2029]")
_COMPACT_TIME = re.compile(r"(\d{4}-?\d\d-?\d\d)[T_-]?(\d\d-?\d\d-?\d\d)", re.ASCII)
_UNIX_SECONDS = re.compile(r"\d{9,10}(\.\d{1,9})?", re.ASCII)
_PLAUSIBLE_YEARS = range(1970, 2100)  # an unset clock begins in 1970; digits of another year are no time


def to_text(path: PurePath) -> str:
    """Return a path as UTF-8 text with ``/`` separators; other bytes, ``%`` and controls become ``%XX``.

    >>> to_text(PurePath("weld 50%.png"))
    'weld 50%25.png'
    """
    raw = os.fsencode(path)
    text = raw.decode("utf-8", "surrogateescape")
    escaped = "".join(f"%{ord(c) - 0xDC00:02X}" if "\udc80" <= c <= "\udcff" else c for c in _escape(text))
    return escaped.replace(os.sep, "/")


def to_path(source_name: str) -> PurePath:
    """Return the path of a source name: the inverse of :func:`to_text`."""
    return PurePath(os.fsdecode(unquote_to_bytes(source_name)))


def shorten(name: str, max_bytes: int) -> str:
    """Cut a name to at most ``max_bytes`` bytes of UTF-8, between two characters.

    >>> shorten("weldön", 5)
    'weld'
    """
    return name.encode()[:max_bytes].decode(errors="ignore")


def _escape(text: str) -> str:
    return _UNSAFE_CHARACTER.sub(
        lambda match: "".join(f"%{byte:02X}" for byte in match.group().encode()), text
    )


def parse(
    source_name: str, pattern: re.Pattern[str] | None, zone: tzinfo, seen_us: int | None = None
) -> NameParts:
    """Read camera, part, seam and camera time from a name, by the groups of ``name_pattern``.

    If no group gives a camera, the camera is the sub-folder that the file was in. A name that the pattern
    does not match is no error: the image is inspected without part, seam and time.

    The group ``time`` may be Unix seconds, ISO 8601, or a compact form such as ``20260105-134501``. Without
    an offset it is local time in ``zone``. Local clocks show one hour of autumn twice, and skip one hour of
    spring. A time in such an hour has two readings. The result is the one nearest to ``seen_us``, the time
    at which the station saw the file.
    """
    folder = source_name.rpartition("/")[0] or None
    match = pattern.search(source_name) if pattern else None
    if match is None:
        return NameParts(camera=folder)
    groups = match.groupdict()
    time = groups.get("time")
    return NameParts(
        camera=groups.get("camera") or folder,
        part=groups.get("part"),
        seam=groups.get("seam"),
        camera_time_us=_time_us(time, zone, seen_us) if time else None,
    )


def _time_us(text: str, zone: tzinfo, seen_us: int | None) -> int | None:
    moment = _moment(text)
    if moment is None or moment.year not in _PLAUSIBLE_YEARS:
        return None
    if moment.tzinfo:
        return _epoch_us(moment)
    first, second = (_epoch_us(moment.replace(tzinfo=zone, fold=fold)) for fold in (0, 1))
    return first if seen_us is None or abs(seen_us - first) <= abs(seen_us - second) else second


def _epoch_us(moment: datetime) -> int:
    return round(moment.timestamp() * 1_000_000)


def _moment(text: str) -> datetime | None:
    # strptime accepts one digit where it asks for two. It would read Unix seconds as a day of the year 1767,
    # so the number of digits is checked first.
    if _UNIX_SECONDS.fullmatch(text):
        return datetime.fromtimestamp(float(text), UTC)
    compact = _COMPACT_TIME.fullmatch(text)
    try:
        if compact:
            return datetime.strptime("".join(compact.groups()).replace("-", ""), "%Y%m%d%H%M%S")
        return datetime.fromisoformat(text)
    except ValueError:
        return None
