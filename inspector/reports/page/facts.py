"""What the quality report asks of the SQL reports: for its period, and for the period before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta, tzinfo
from typing import Any

from sqlalchemy.engine import URL

from inspector import times
from inspector.errors import UsageError
from inspector.reports import definitions, query
from inspector.reports.query import Query, Report

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Period:
    """From ``since`` (None: the first image) to ``until``, not included; both in the station's zone."""

    since: datetime | None
    until: datetime

    @property
    def before(self) -> Period | None:
        """As long by the clock on the wall, just before; None where there is no beginning."""
        if self.since is None:
            return None
        try:
            return Period(self.since - (self.until - self.since), self.since)
        except OverflowError:  # before the year 1
            return None

    def reference(self, since: str | None, until: str | None, zone: tzinfo) -> Period | None:
        """The period to compare with, by its options; None where neither is given.

        Raises:
            UsageError: no date, an empty period, or an end without a beginning.
        """
        if since is None and until is None:
            return None
        if since is None:
            raise UsageError("--reference-until ends a period without a beginning: give --reference-since")
        end = until or (self.since.isoformat() if self.since else None)
        if end is None:
            raise UsageError("--reference-since needs --reference-until where there is no --since")
        times.instants(since, end, zone, "reference-")
        return Period(_aware(since, zone), _aware(end, zone))

    @property
    def last_day(self) -> date:
        """The local day of its last moment."""
        return (self.until - timedelta(microseconds=1)).date()

    @property
    def days(self) -> float | None:
        """Its length; None where there is no beginning."""
        return None if self.since is None else (self.until - self.since) / timedelta(days=1)


def period(since: str | None, until: str | None, days: int | None, zone: tzinfo, now: datetime) -> Period:
    """The period that the options name.

    Args:
        since: ISO date or datetime, in ``zone`` where it has no offset. None: from the first image.
        until: the same, not included. None: to ``now``.
        days: instead of the two, so many whole days up to the last midnight.
        zone: the station's time zone.
        now: aware.

    Raises:
        UsageError: no date, an empty period, or both ways at once.
    """
    if days is not None and (since or until):
        raise UsageError("--days is instead of --since and --until; leave it or them out")
    now = now.astimezone(zone)
    midnight = datetime.combine(now.date(), time(), zone)
    if days is not None:
        return Period(midnight - timedelta(days=days), midnight)
    times.instants(since, until or now.isoformat(), zone)  # refuses what is no date, and the empty period
    return Period(_aware(since, zone) if since else None, _aware(until, zone) if until else now)


def _aware(text: str, zone: tzinfo) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment.astimezone(zone) if moment.tzinfo else moment.replace(tzinfo=zone)


@dataclass(frozen=True, slots=True)
class Source:
    """Where a report's rows come from, and which."""

    url: URL | str
    zone: tzinfo
    station: str | None = None
    part: str | None = None
    seam_rule: Mapping[str, int] = field(default_factory=lambda: query.SEAM_RULE)
    reference: Period | None = None  # of drift and the p-chart's limits; None: as in reports


class Facts:
    """The reports of one period, each run once."""

    def __init__(self, source: Source, period: Period) -> None:
        self.source = source
        self.period = period
        self._known: dict[tuple[str, str | None], Report] = {}

    def report(self, name: str, by: str | None = None) -> Report:
        """The rows of a report; one that knows no part is asked for all of them.

        Raises:
            UsageError: there is no such station.
            StoreUnavailable: the server does not answer.
        """
        if (name, by) not in self._known:
            since, reference = self.period.since, self.source.reference
            given = reference if reference and definitions.takes(name, "reference_since_us") else None
            asked = Query(
                name,
                since=since.isoformat() if since else None,
                until=self.period.until.isoformat(),
                station=self.source.station,
                part=self.source.part if definitions.takes(name, "part") else None,
                reference_since=given.since.isoformat() if given and given.since else None,
                reference_until=given.until.isoformat() if given else None,
                by=by,
                seam_rule=self.source.seam_rule,
                zone=self.source.zone,
            )
            self._known[name, by] = query.run(self.source.url, asked)
        return self._known[name, by]

    def rows(self, name: str, by: str | None = None) -> list[Row]:
        """The same, each row by its columns."""
        report = self.report(name, by)
        return [dict(zip(report.columns, row, strict=True)) for row in report.rows]

    def total(self, name: str, column: str, by: str | None = None) -> int:
        """A column of counts added up over the rows: over all stations, where they are by station."""
        return sum(row[column] or 0 for row in self.rows(name, by))

    def subgroups(self) -> tuple[str, str]:
        """By what trend and p-chart go: a day has more than one point then, and a year no thousand."""
        days = self.period.days
        if days is None:
            days = sum(row["day"] is not None for row in self.rows("first_pass_yield", "day"))
        if days <= 2:
            return "hour", "hour"
        return ("day" if days <= 100 else "week"), (
            "shift" if days <= 45 else "day" if days <= 150 else "week"
        )


def tests(row: Row) -> list[int]:
    """Numbers of the tests that flag a row of the p-chart."""
    return [
        int(column.removeprefix("test_")) for column, value in row.items() if column[:5] == "test_" and value
    ]
