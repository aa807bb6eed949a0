"""inspector.times: the local day and shift of an instant."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspector.times import local_day_and_shift

SHIFTS = {"early": time(6), "late": time(14), "night": time(22)}


def _us(text: str, zone: str = "UTC") -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp() * 1_000_000)


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        ("2026-01-05T06:00:00", ("2026-01-05", "early", "2026-01-05")),
        ("2026-01-05T13:59:59", ("2026-01-05", "early", "2026-01-05")),
        ("2026-01-05T14:00:00", ("2026-01-05", "late", "2026-01-05")),
        ("2026-01-05T23:30:00", ("2026-01-05", "night", "2026-01-05")),
        ("2026-01-06T05:59:59", ("2026-01-06", "night", "2026-01-05")),
    ],
)
def test_a_shift_lasts_until_the_next_begins(moment, expected):
    """Starts are inclusive; after midnight the night shift has a new local day and keeps its shift day."""
    assert local_day_and_shift(_us(moment), UTC, SHIFTS) == expected


@pytest.mark.parametrize(("hour", "shift_day"), [("05:59", "2026-01-04"), ("06:00", "2026-01-05")])
def test_a_shift_of_24_hours_begins_every_day(hour, shift_day):
    """If there is only one shift, a new one begins each day at its start."""
    found = local_day_and_shift(_us(f"2026-01-05T{hour}"), UTC, {"all": time(6)})
    assert found == ("2026-01-05", "all", shift_day)


def test_the_local_zone_decides():
    """23:30 UTC is already the next day in Berlin, in the night shift of the day before."""
    found = local_day_and_shift(_us("2026-01-05T23:30:00"), ZoneInfo("Europe/Berlin"), SHIFTS)
    assert found == ("2026-01-06", "night", "2026-01-05")


def test_the_hour_that_comes_twice_in_autumn_is_night_both_times():
    """When summer time ends, both times 02:30 belong to the same day and shift."""
    berlin = ZoneInfo("Europe/Berlin")
    first = _us("2026-10-25T02:30:00", "Europe/Berlin")
    results = {local_day_and_shift(first + hour * 3_600_000_000, berlin, SHIFTS) for hour in (0, 1)}
    assert results == {("2026-10-25", "night", "2026-10-24")}


@given(
    instant=st.integers(0, 4_000_000_000_000_000),
    zone=st.sampled_from(["UTC", "Europe/Berlin", "Asia/Kathmandu", "America/St_Johns", "Pacific/Apia"]),
)
def test_every_instant_has_a_day_and_a_shift(instant, zone):
    """In every zone, also when clocks change, an instant belongs to a shift of its day or the day before."""
    day, shift, shift_day = local_day_and_shift(instant, ZoneInfo(zone), SHIFTS)
    assert shift in SHIFTS
    assert day == datetime.fromtimestamp(instant / 1e6, ZoneInfo(zone)).date().isoformat()
    assert date.fromisoformat(day) - date.fromisoformat(shift_day) in (timedelta(0), timedelta(1))
    assert shift == "night" or day == shift_day
