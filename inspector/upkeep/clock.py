"""Checks of this machine's clock."""

from __future__ import annotations

import ctypes
import time
from datetime import UTC, datetime, tzinfo
from pathlib import Path

from inspector.errors import UsageError

_TIME_ERROR = 5  # <sys/timex.h>: the clock is not synchronized

_libc = ctypes.CDLL(None, use_errno=True)


def clock_is_synchronized() -> bool:
    """Return whether systemd-timesyncd, chrony, ntpd or the like keeps the kernel's clock (adjtimex(2))."""
    return int(_libc.adjtimex(ctypes.create_string_buffer(512))) != _TIME_ERROR  # zeros change nothing


def other_zone(zone: tzinfo) -> str | None:
    """Return the name of this machine's time zone if its clock differs from one in ``zone``, else None.

    A machine whose own clock shows UTC has no opinion: many servers are set up so.
    """
    year = datetime.now(UTC).year
    moments = [datetime(year, month, 15, tzinfo=UTC) for month in (1, 7)]  # zones may agree in winter only
    for moment in moments:
        here = moment.astimezone()
        if here.utcoffset() != moment.astimezone(zone).utcoffset():
            return here.tzname() if any(m.astimezone().utcoffset() for m in moments) else None
    return None


def is_not_before(file: Path) -> None:
    """Refuse a clock that shows a time before a file was made.

    Raises:
        UsageError: the clock is more than a minute behind the file.
    """
    try:
        made = file.stat().st_mtime
    except OSError:
        return
    if time.time() < made - 60:
        now = datetime.now(UTC).isoformat(timespec="minutes")
        raise UsageError(f"the clock says {now}, but {file} is from later; set it: timedatectl set-ntp true")
