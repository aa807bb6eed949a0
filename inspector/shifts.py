"""The shop's calendar: which local day and which shift an instant belongs to."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, time, tzinfo


def local_day_and_shift(instant_us: int, zone: tzinfo, shifts: Mapping[str, time]) -> tuple[str, str]:
    """Local calendar day (ISO date) and shift of an instant in UTC epoch microseconds.

    A shift runs from its start to the next one's start; before the first start of the day the last shift
    of the day before is still on. The day stays the calendar's, also within a night shift: it is the folder
    that people look into, and a date that can be checked against any clock.
    """
    local = datetime.fromtimestamp(instant_us / 1_000_000, zone)
    by_start = sorted(shifts.items(), key=lambda item: item[1])
    begun = [name for name, start in by_start if start <= local.time()]
    return local.date().isoformat(), begun[-1] if begun else by_start[-1][0]
