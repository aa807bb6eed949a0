"""Instants, periods and the shop's calendar: local days, shifts, ISO 8601 text."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, time, timedelta, tzinfo
from time import time_ns
from typing import Literal, NamedTuple

from inspector.errors import UsageError

DAY_US = 86_400_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_END_OF_TIME_US = 1 << 62  # beyond every instant that a clock can show, within BIGINT


def now_us() -> int:
    """Return UTC epoch microseconds by the machine's clock."""
    return time_ns() // 1000


class DayAndShift(NamedTuple):
    """The place of an instant in a shop's calendar; days are ISO dates."""

    day: str  # the date on the calendar, also for the hours of a night shift after midnight
    shift: str  # the name in the settings
    shift_day: str  # the day on which this shift began: for those hours, the day before


def local_day_and_shift(instant_us: int, zone: tzinfo, shifts: Mapping[str, time]) -> DayAndShift:
    """Return the local day, the shift and the day on which that shift began.

    A shift runs from its start to the start of the next one. Before the first start of a day, the last shift
    of the day before still runs.

    Args:
        instant_us: UTC epoch microseconds.
        zone: the station's time zone.
        shifts: name and start of each shift, at least one.
    """
    local = datetime.fromtimestamp(instant_us / 1_000_000, zone)
    by_start = sorted(shifts.items(), key=lambda item: item[1])
    begun = [name for name, start in by_start if start <= local.time()]
    today = local.date()
    if begun:
        return DayAndShift(today.isoformat(), begun[-1], today.isoformat())
    return DayAndShift(today.isoformat(), by_start[-1][0], (today - timedelta(days=1)).isoformat())


def instants(
    since: str | None, until: str | None, zone: tzinfo, prefix: str = "", end_us: int = _END_OF_TIME_US
) -> tuple[int, int]:
    """Return a period in UTC epoch microseconds, the end exclusive.

    Args:
        since: ISO date or datetime, in ``zone`` if it has no offset. None: from the beginning.
        until: the same. None: to ``end_us``.
        zone: the station's time zone.
        prefix: text before the options' names in messages.
        end_us: see ``until``.

    Raises:
        UsageError: a text is not a date, or the period is empty.
    """
    first = _instant_us(f"--{prefix}since", since, zone, -_END_OF_TIME_US)
    last = _instant_us(f"--{prefix}until", until, zone, end_us)
    if first >= last and (since or until):
        raise UsageError(
            f"the period is empty: --{prefix}since {since} is not before --{prefix}until {until} (exclusive)"
        )
    return first, last


def _instant_us(option: str, text: str | None, zone: tzinfo, default: int) -> int:
    if text is None:
        return default
    try:
        moment = datetime.fromisoformat(text)
        aware = moment if moment.tzinfo else moment.replace(tzinfo=zone)
        return (aware - _EPOCH) // timedelta(microseconds=1)
    except (ValueError, OverflowError):
        raise UsageError(f"{option} '{text}' is not a date such as 2026-01-31 or 2026-01-31T14:00") from None


def iso(
    instant_us: int | None, zone: tzinfo, timespec: Literal["seconds", "microseconds"] = "seconds"
) -> str | None:
    """Return UTC epoch microseconds as ISO 8601 text in a zone; None for None."""
    if instant_us is None:
        return None
    try:
        moment = (_EPOCH + timedelta(microseconds=instant_us)).astimezone(zone)
    except OverflowError:
        return f"{instant_us} µs"  # from a wrong clock: the row must still be readable
    return moment.isoformat(timespec=timespec)
