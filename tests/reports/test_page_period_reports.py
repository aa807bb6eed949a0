"""Periods in local time, groupings, and definitions as in the SQL files."""

from __future__ import annotations

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy.engine import URL

from inspector.errors import UsageError
from inspector.reports import definitions
from inspector.reports.page.period import Period
from inspector.reports.page.period_reports import PeriodReports, Source
from inspector.reports.query import Query, run

BERLIN = ZoneInfo("Europe/Berlin")
NOW = datetime(
    2026, 3, 30, 4, 15, tzinfo=UTC
)  # a quarter past six in Berlin, on the first Monday of summer time


def at(text: str) -> datetime:
    """An instant in Berlin."""
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN)


def test_whole_days_end_at_the_last_midnight():
    """Whole local days end at the last midnight, also if the clocks change, and so does the period before."""
    week = Period.from_options(None, None, 7, BERLIN, NOW)
    assert week == Period(at("2026-03-23"), at("2026-03-30"))
    assert week.before == Period(at("2026-03-16"), at("2026-03-23"))
    assert (week.days, week.last_day) == (7, date(2026, 3, 29))


def test_without_dates_it_is_all_up_to_now():
    """A period without dates runs from the first image to now, and has no period before."""
    everything = Period.from_options(None, None, None, BERLIN, NOW)
    assert everything == Period(None, NOW)
    assert everything.until.utcoffset() == BERLIN.utcoffset(datetime(2026, 4, 1))
    assert everything.before is None


def test_dates_are_in_the_station_s_zone():
    """A date without an offset is local; a date with an offset is that instant."""
    assert Period.from_options("2026-03-01", "2026-03-29T12:00+00:00", None, BERLIN, NOW) == Period(
        at("2026-03-01"), at("2026-03-29T14:00")
    )
    assert Period.from_options("0001-01-02", "2026-01-01", None, BERLIN, NOW).before is None


@pytest.mark.parametrize(
    ("since", "until", "days", "said"),
    [
        ("2026-03-02", "2026-03-01", None, "empty"),
        ("2027-01-01", None, None, "empty"),
        ("yesterday", None, None, "not a date"),
        ("2026-03-01", None, 7, "--days"),
    ],
)
def test_a_period_that_makes_no_sense_is_refused(since: str, until: str | None, days: int | None, said: str):
    """A wrong date, an empty period and a contradiction are one line that names the option."""
    with pytest.raises(UsageError, match=said):
        Period.from_options(since, until, days, BERLIN, NOW)


def test_the_reference_ends_where_the_report_begins_by_default():
    """The reference ends where the report begins, as in the SQL reports; without options there is none."""
    week = Period.from_options("2026-03-23", "2026-03-30", None, BERLIN, NOW)
    assert week.reference(None, None, BERLIN) is None
    assert week.reference("2026-03-01", None, BERLIN) == Period(at("2026-03-01"), at("2026-03-23"))
    assert week.reference("2026-03-24", "2026-03-25", BERLIN) == Period(at("2026-03-24"), at("2026-03-25"))


@pytest.mark.parametrize(
    ("since", "until", "said"),
    [
        (None, "2026-03-01", "without a beginning"),
        ("2026-03-01", None, "needs --ref"),
        ("x", "y", "not a date"),
    ],
)
def test_half_a_reference_is_refused(since: str | None, until: str | None, said: str):
    """If the report has no begin, half a reference is one line that names the missing option."""
    with pytest.raises(UsageError, match=said):
        Period(None, NOW).reference(since, until, BERLIN)


def test_the_reference_reaches_the_reports_that_compare(url: URL):
    """Reports that compare get the reference period, and the others do not."""
    week = Period.from_options("2026-03-23", "2026-03-30", None, BERLIN, NOW)
    reports = PeriodReports(Source(url, BERLIN, reference=week.before), week)
    for name in definitions.names():
        assert reports.run(name).query.report == name  # a report without a reference would refuse one


def test_every_report_defines_its_columns(url: URL):
    """Each column of a report is defined in its file, and so on the page."""
    for name, question in definitions.names().items():
        definition = definitions.read(name)
        assert definition.question == question
        columns = set(run(url, Query(name)).columns) - {"p95_ms", "p99_ms", "test_2", "test_3", "test_4"}
        assert columns <= set(definition.columns), name
        assert all(definition.columns.values())
        assert not [note for note in definition.notes if "since_us" in note]


def test_subgroups_fit_the_period(url: URL):
    """A day is grouped by hour, two weeks by day and shift, a year by week."""
    seen = []
    for since in ("2026-03-29", "2026-03-16", "2026-01-01", "2025-03-30"):
        asked = Period.from_options(since, "2026-03-30", None, BERLIN, NOW)
        seen.append(PeriodReports(Source(url, BERLIN), asked).subgroups())
    assert seen == [("hour", "hour"), ("day", "shift"), ("day", "day"), ("week", "week")]
