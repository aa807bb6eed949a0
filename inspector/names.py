"""What a file's name tells: a safe text form of its bytes, and camera, part, seam and time by pattern."""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime, tzinfo
from pathlib import PurePath

from inspector.records import NameParts

# '%' itself is escaped so that the mapping can be undone; control bytes would break lines in reports.
_UNSAFE = re.compile(r"[%\x00-\x1f\x7f]")
_TIME_FORMATS = ("%Y%m%dT%H%M%S", "%Y%m%d-%H%M%S", "%Y%m%d_%H%M%S", "%Y%m%d%H%M%S", "%Y-%m-%dT%H-%M-%S")


def to_text(path: PurePath) -> str:
    """A path's bytes as UTF-8 text with ``/`` separators; bytes that are not, ``%`` and controls as ``%XX``.

    >>> to_text(PurePath("weld 50%.png"))
    'weld 50%25.png'
    """
    raw = os.fsencode(path)
    text = raw.decode("utf-8", "surrogateescape")
    escaped = "".join(f"%{ord(c) - 0xDC00:02X}" if "\udc80" <= c <= "\udcff" else c for c in _escape(text))
    return escaped.replace(os.sep, "/")


def _escape(text: str) -> str:
    return _UNSAFE.sub(lambda match: f"%{ord(match.group()):02X}", text)


def parse(source_name: str, pattern: re.Pattern[str] | None, zone: tzinfo) -> NameParts:
    """Camera, part, seam and camera time from a name, by the groups of ``name_pattern``.

    A name that the pattern does not match tells nothing, which is no error: the image is inspected all
    the same. ``time`` may be Unix seconds, ISO 8601, or a compact form such as ``20260105-134501``;
    without an offset it is in the station's ``zone``.
    """
    match = pattern.search(source_name) if pattern else None
    if match is None:
        return NameParts()
    groups = match.groupdict()
    time = groups.get("time")
    return NameParts(
        camera=groups.get("camera"),
        part=groups.get("part"),
        seam=groups.get("seam"),
        camera_time_us=_time_us(time, zone) if time else None,
    )


def _time_us(text: str, zone: tzinfo) -> int | None:
    moment = _moment(text)
    if moment is None:
        return None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=zone)
    return round(aware.timestamp() * 1_000_000)


def _moment(text: str) -> datetime | None:
    # Compact forms first: fromisoformat would read '20260105134501' as a date with an odd separator.
    for form in _TIME_FORMATS:
        try:
            return datetime.strptime(text, form)
        except ValueError:
            continue
    if re.fullmatch(r"\d{9,10}(\.\d+)?", text):
        return datetime.fromtimestamp(float(text), UTC)
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None
