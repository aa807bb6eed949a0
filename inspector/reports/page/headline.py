"""The head of the quality report: headline figures with their change, and notices of anything unusual."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from inspector.reports import escapes
from inspector.reports.page.period_reports import PeriodReports, Row, flagging_tests
from inspector.reports.page.words import NOTHING, Words, printable
from inspector.reports.query import VERDICTS


@dataclass(frozen=True, slots=True)
class Card:
    """A headline figure: its value, the number it is a share of, and the change since the period before.

    ``other`` is the figure by the verdicts that the page does not count.
    """

    key: str
    value: float | None
    text: str
    of: str
    was: str
    change: str
    other: str = ""


def cards(reports: PeriodReports, before: PeriodReports | None, words: Words) -> list[Card]:
    """The headline figures, each from the SQL report that the page names in the section of the figure."""
    [unused] = set(VERDICTS) - {reports.source.verdicts}
    others = reports.counting(unused)

    def counted(key: str, pair: Callable[[PeriodReports], tuple[int, int]], of: str = "page.of") -> Card:
        card = _card(words, key, pair(reports), pair(before) if before else None, of)
        n, of_n = pair(others)
        value = words.share(n / of_n) if of_n else NOTHING
        return dataclasses.replace(card, other=words(f"verdicts.{unused}_figure", value=value))

    def share(key: str, report: str, column: str, of: str = "page.of", by: str | None = None) -> Card:
        return counted(key, lambda some: _pair(some, report, column, by), of)

    return [
        _count(words, "images", reports, before, "n"),
        share("first_pass", "first_pass_yield", "passed", "page.first_pass_of", "station"),
        share("fail", "summary", "failed"),
        share("review", "summary", "review"),
        counted("seams", _failed_seams),
        _escape(words, reports, before),
        _latency_card(words, reports, before),
        _count(words, "quarantined", reports, before, "quarantined"),
    ]


def _pair(reports: PeriodReports, report: str, column: str, by: str | None) -> tuple[int, int]:
    return reports.total(report, column, by), reports.total(report, "n", by)


def _failed_seams(reports: PeriodReports) -> tuple[int, int]:
    rows = reports.rows("seams")
    return sum(row["verdict"] == "FAIL" for row in rows), len(rows)


def _card(
    words: Words, key: str, now: tuple[int, int], was: tuple[int, int] | None, of: str = "page.of"
) -> Card:
    """A card for the share ``now[0] / now[1]``, compared with the same share of the period before."""
    value = now[0] / now[1] if now[1] else None
    past = was[0] / was[1] if was and was[1] else None
    before = change = ""
    if was and past is not None:
        before = words("page.was", value=f"{words.share(past)} {words(of, n=words.number(was[1]))}")
        if value is not None:
            points = words.number(abs(value - past) * 100, 1)
            change = _changed(words, value - past, words("page.points", value=points))
    text = NOTHING if value is None else words.share(value)
    return Card(key, value, text, words(of, n=words.number(now[1])), before, change)


def _count(words: Words, key: str, reports: PeriodReports, before: PeriodReports | None, column: str) -> Card:
    known = any(row[column] is not None for row in reports.rows("summary")) or not reports.rows("summary")
    now = reports.total("summary", column) if known else None
    was = before.total("summary", column) if before and before.rows("summary") and known else None
    change = ""
    if now is not None and was:
        change = _changed(words, now - was, words.share(abs(now / was - 1), 0))
    text = NOTHING if now is None else words.number(now)
    return Card(key, now, text, "", _was(words, None if was is None else words.number(was)), change)


def _escape(words: Words, reports: PeriodReports, before: PeriodReports | None) -> Card:
    def row(some: PeriodReports | None) -> Row:
        rows = [r for r in some.rows("agreement") if r["measure"] == "escape"] if some else []
        return rows[0] if rows else {"share": None, "of_n": 0, "n": 0}

    now, was = row(reports), row(before)
    card = _card(words, "escape", (now["n"] or 0, now["of_n"]), (was["n"] or 0, was["of_n"]))
    if now["share"] is None:
        return card
    interval = f"{words.share(now['low_share'])} – {words.share(now['high_share'])}"
    return Card(card.key, now["share"], card.text, f"{interval}, {card.of}", card.was, card.change)


def _latency_card(words: Words, reports: PeriodReports, before: PeriodReports | None) -> Card:
    def p95(some: PeriodReports | None) -> float | None:
        rows = [r for r in some.rows("latency") if r["step"] == "total"] if some else []
        return rows[0]["p95_ms"] if rows else None

    now, was = p95(reports), p95(before)
    change = ""
    if now is not None and was:
        change = _changed(words, now - was, words.share(abs(now / was - 1), 0))
    n = words("page.of", n=words.number(reports.total("summary", "n")))
    return Card(
        "latency", now, _ms(words, now), n, _was(words, None if was is None else _ms(words, was)), change
    )


def _ms(words: Words, value: float | None) -> str:
    return NOTHING if value is None else f"{words.cell('p95_ms', value)} ms"


def _was(words: Words, text: str | None) -> str:
    return words("page.was", value=text) if text is not None else ""


def _changed(words: Words, change: float, text: str) -> str:
    """The change with an arrow for its direction; "unchanged" if it rounds to zero."""
    if not any(digit in text for digit in "123456789"):
        return words("page.same")
    return f"{'▲' if change > 0 else '▼'} {text}"


@dataclass(frozen=True, slots=True)
class Notice:
    """Something unusual in one line, and the section that shows more of it."""

    section: str
    text: str


def attention(reports: PeriodReports, words: Words) -> list[Notice]:
    """The notices of a page: missing images and reviews first, then signals, drift, crashes and the like."""
    _, by = reports.subgroups()
    found: list[Notice] = []

    def say(section: str, key: str, **values: Any) -> None:
        found.append(Notice(section, words(f"attention.{key}", **values)))

    def count(section: str, key: str, n: int, **values: Any) -> None:
        say(section, f"{key}_one" if n == 1 else key, n=words.number(n), **values)

    if not reports.total("summary", "n"):
        say("summary", "no_image")
    for station in reports.silent_stations():
        say("summary", "silent", station=printable(station))
    if backlog := reports.review_backlog():
        count("agreement", "backlog", backlog)
    signals = [row for row in reports.rows("p_chart", by) if flagging_tests(row)]
    for station, n in Counter(row["station"] for row in signals).items():
        last = [row for row in signals if row["station"] == station][-1]
        at = " ".join(printable(last[key]) for key in ("day", "shift") if last[key]) or words.cell(
            "hour", last["hour"]
        )
        count("p_chart", "p_chart", n, station=printable(station), last=at)
    for row in reports.rows("drift"):
        if row["band"] in ("watch", "shifted"):
            say("drift", "drift", **{key: words.cell(key, row[key]) for key in ("measure", "band")})
    for row in reports.rows("downtime"):
        for key in ("crashes", "outages"):
            if row[key]:
                count("downtime", key, row[key], station=printable(row["station"]))
    audits = [row for row in reports.rows("agreement") if row["measure"] == "escape"]
    if reports.counting("station").total("summary", "passed") and not any(row["of_n"] for row in audits):
        say("agreement", "no_sample")
    found += [Notice("agreement", line) for line in escapes.alarms(reports.rows("escapes"), words)]
    for row in reports.rows("quarantine"):
        where = printable(row["station"])
        count("quarantine", "quarantine", row["n"], station=where, reason=printable(row["reason"]))
    return found
