"""The SQL reports of one period, whose rows a page is made of."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import tzinfo
from typing import Any

from sqlalchemy.engine import URL

from inspector.ledger import sites
from inspector.reports import definitions, query
from inspector.reports.page.period import Period
from inspector.reports.query import Query, Report

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Source:
    """The quality database, and the station (or site), part and reference period to ask it about."""

    url: URL | str
    zone: tzinfo
    station: str | None = None
    part: str | None = None
    seam_rule: Mapping[str, int] = field(default_factory=lambda: query.SEAM_RULE)
    verdicts: str = query.DEFAULT_VERDICTS  # that the reports on production count, one of query.VERDICTS
    reference: Period | None = None  # for drift and the limits of the p-chart; None: as in the SQL reports


class PeriodReports:
    """Runs SQL reports for one period, each of them once."""

    def __init__(self, source: Source, period: Period) -> None:
        self.source = source
        self.period = period
        self._known: dict[tuple[str, str | None], Report] = {}
        self._others: dict[str, PeriodReports] = {}

    def counting(self, verdicts: str) -> PeriodReports:
        """The reports of the same period that count these verdicts, one of :data:`query.VERDICTS`."""
        if verdicts == self.source.verdicts:
            return self
        source = dataclasses.replace(self.source, verdicts=verdicts)
        return self._others.setdefault(verdicts, PeriodReports(source, self.period))

    def run(self, name: str, by: str | None = None) -> Report:
        """Run a report, or return its rows from before; a report without parts counts all of them.

        Raises:
            UsageError: the database has no such station, site or part.
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
                verdicts=self.source.verdicts if definitions.takes(name, "verdicts") else None,
                seam_rule=self.source.seam_rule,
                zone=self.source.zone,
            )
            self._known[name, by] = query.run(self.source.url, asked)
        return self._known[name, by]

    def rows(self, name: str, by: str | None = None) -> list[Row]:
        """The rows of a report as dictionaries from column to value."""
        report = self.run(name, by)
        return [dict(zip(report.columns, row, strict=True)) for row in report.rows]

    def total(self, name: str, column: str, by: str | None = None) -> int:
        """The sum of a column of counts over all rows, and so over all stations."""
        return sum(row[column] or 0 for row in self.rows(name, by))

    def silent_stations(self) -> list[str]:
        """The asked stations that judged no image in the period; none if only one part is asked for."""
        if self.source.part:
            return []
        known, asked = query.stations_opened(self.source.url, self.period.until), self.source.station
        if asked:  # one that came after the period is named, too
            known = [name for name in known if sites.is_chosen(name, asked)] or [asked]
        active = {row["station"] for row in self.rows("summary") if row["n"]}
        return [name for name in known if name not in active]

    def review_backlog(self) -> int:
        """The number of images up to the period's end that wait for a person's decision."""
        asked = Query(
            "review_queue",
            until=self.period.until.isoformat(),
            station=self.source.station,
            part=self.source.part,
            zone=self.source.zone,
        )
        report = query.run(self.source.url, asked)
        rows = [dict(zip(report.columns, row, strict=True)) for row in report.rows]
        waiting = {row["why"]: row["waiting"] for row in rows}
        return sum(n for why, n in waiting.items() if why != "fail")  # a FAIL is decided without a person

    def subgroups(self) -> tuple[str, str]:
        """The groupings of trend and p-chart: a day has several points, and a year fewer than a thousand."""
        days = self.period.days
        if days is None:
            days = sum(row["day"] is not None for row in self.rows("first_pass_yield", "day"))
        if days <= 2:
            return "hour", "hour"
        return ("day" if days <= 100 else "week"), (
            "shift" if days <= 45 else "day" if days <= 150 else "week"
        )


def flagging_tests(row: Mapping[str, Any]) -> list[int]:
    """The numbers of Nelson's tests that flag a row of the p-chart."""
    return [
        int(column.removeprefix("test_")) for column, value in row.items() if column[:5] == "test_" and value
    ]
