"""The production reports for the console: what an address asks for, and the images that a row is made of."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, time, timedelta, tzinfo
from typing import Any, Final, Self
from urllib.parse import urlencode

from inspector.console import drawing
from inspector.console.drawing import Drawing
from inspector.console.shown import Choice
from inspector.errors import UsageError
from inspector.reports import definitions, query
from inspector.reports.page.chart_words import Row
from inspector.reports.page.words import Words
from inspector.reports.query import Query, Report

DEFAULT_DAYS: Final = 7  # with today: a working week, with each of its shifts
_MAX_DAYS: Final = 3660
# Reports whose rows are of interest with a chart first; the others follow by name.
FIRST: Final = (
    "p_chart",
    "pareto",
    "trend",
    "seams",
    "first_pass_yield",
    "agreement",
    "latency_by_hour",
    "drift",
)
_KEYS: Final = ("since", "until", "station", "part", "by", "verdicts", "reference_since", "reference_until")


@dataclass(frozen=True, slots=True)
class Asked:
    """What the address of a chart asks for; the fields are those of the report's options.

    Without ``since`` and ``until`` the period is the last ``days`` days with today: a link to it is live.
    """

    report: str
    since: str | None = None
    until: str | None = None
    days: int | None = DEFAULT_DAYS
    station: str | None = None
    part: str | None = None
    by: str | None = None
    verdicts: str | None = None
    reference_since: str | None = None
    reference_until: str | None = None

    @classmethod
    def of(cls, report: str, address: Mapping[str, str]) -> Self:
        """Return what the query of an address asks for; what the report does not take is left out.

        Raises:
            UsageError: there is no such report, or ``days`` is no number.
        """
        given = {key: text for key in _KEYS if (text := address.get(key, "").replace("\0", "").strip())}
        taken = {
            "part": "part",
            "verdicts": "verdicts",
            "reference_since": "reference_since_us",
            "reference_until": "reference_since_us",
        }
        left_out = [key for key, name in taken.items() if not definitions.takes(report, name)]
        if given.get("by") not in query.GROUPINGS.get(report, ()):
            left_out.append("by")  # a link from another report
        kept: dict[str, Any] = {key: text for key, text in given.items() if key not in left_out}
        days = None if "since" in kept or "until" in kept else _days(address.get("days", ""))
        return cls(report, days=days, **kept)

    def address(self, report: str | None = None, **changed: Any) -> str:
        """Return the address of this chart, or of the same period in another report."""
        asked = dataclasses.replace(self, **changed)
        values = {key: value for key in (*_KEYS, "days") if (value := getattr(asked, key)) is not None}
        if asked.days == DEFAULT_DAYS:
            del values["days"]
        path = f"/charts/{report or self.report}"
        return f"{path}?{urlencode(values)}" if values else path

    def begin(self, zone: tzinfo, now: datetime) -> str | None:
        """Return the beginning of the period as ISO text; None: the first image."""
        if self.days is None:
            return self.since
        today = datetime.combine(now.astimezone(zone).date(), time(), zone)
        return (today - timedelta(days=self.days - 1)).isoformat()

    def query(self, zone: tzinfo, seam_rule: Mapping[str, int], now: datetime) -> Query:
        """Return the request to the report.

        Raises:
            UsageError: a date, a grouping or the verdicts are wrong.
        """
        values = {key: getattr(self, key) for key in _KEYS if key != "since"}
        return Query(self.report, since=self.begin(zone, now), seam_rule=seam_rule, zone=zone, **values)


def names() -> list[str]:
    """Return the reports, those with charts first."""
    return [*FIRST, *(name for name in definitions.names() if name not in FIRST)]


def rows_of(report: Report) -> list[dict[str, Any]]:
    """Return the rows as dictionaries from column to value."""
    return [dict(zip(report.columns, row, strict=True)) for row in report.rows]


def drawings(report: Report, words: Words) -> list[Drawing]:
    """Return the charts of a report; none if it has no rows or is a table only."""
    rows, asked = rows_of(report), report.query
    by = asked.by or next(iter(query.GROUPINGS.get(asked.report, ())), "")

    def link(row: Row) -> str | None:
        return link_of(row, asked)

    found: list[Drawing] = []
    if asked.report == "p_chart":
        for name in dict.fromkeys(row["station"] for row in rows):
            of_station = [row for row in rows if row["station"] == name]
            found.append(drawing.p_chart(of_station, by, words, link))
    elif asked.report == "trend" and rows:
        found.append(drawing.trend(rows, by, words, link))
    elif asked.report == "pareto" and rows:
        found.append(drawing.pareto(rows, words, link))
    elif asked.report == "agreement" and (reviewed := [row for row in rows if row["share"] is not None]):
        found.append(drawing.agreement(reviewed, words))
    elif asked.report == "latency_by_hour" and (total := [row for row in rows if row["step"] == "total"]):
        found.append(drawing.latency(total, words))
    return found


def link_of(row: Row, asked: Query) -> str | None:
    """Return the address of the images that a row counts; None if it counts none."""
    if asked.report == "seams":
        return seam_address(row["station"], row["part"], row["seam"], row["pass_no"])
    if asked.report in ("quarantine", "review_queue"):
        return {"quarantine": "/quarantine", "review_queue": f"/trace/{row.get('id')}"}[asked.report]
    choice = _choice(row, asked)
    return None if choice is None else f"/grid?{urlencode(choice.query())}"


def seam_address(station: str, part: str, seam: str | None, pass_no: int) -> str:
    """Return the address of a pass over a seam."""
    return "/seam?" + urlencode({"station": station, "part": part, "seam": seam or "", "pass": pass_no})


def _choice(row: Row, asked: Query) -> Choice | None:
    every = Choice(
        station=asked.station,
        part=asked.part,
        since=asked.since,
        until=asked.until,
        verdicts=asked.counted or query.DEFAULT_VERDICTS,
    )
    by = asked.by or next(iter(query.GROUPINGS.get(asked.report, ())), None)
    if asked.report in ("p_chart", "signals"):
        point = dataclasses.replace(every, station=row["station"], verdict="FAIL", by=by)
        return _at(point, row)
    if asked.report == "trend":
        return _at(dataclasses.replace(every, by=by), row)
    if asked.report == "pareto":
        failed = dataclasses.replace(every, verdict="FAIL")
        return dataclasses.replace(failed, class_=row["class"], is_unnamed=row["class"] is None)
    if asked.report in ("by_part", "by_seam") and row["part"]:
        return dataclasses.replace(every, part=row["part"], seam=row.get("seam"))
    return None


def _at(choice: Choice, row: Row) -> Choice:
    """Return the choice of one subgroup."""
    return dataclasses.replace(choice, **{key: row[key] for key in ("hour", "day", "shift")})


def _days(text: str) -> int:
    text = text.strip()
    if not text:
        return DEFAULT_DAYS
    if not (text.isascii() and text.isdecimal() and len(text) < 6 and 1 <= int(text) <= _MAX_DAYS):
        raise UsageError(f"days '{text}' is not a number from 1 to {_MAX_DAYS}")
    return int(text)
