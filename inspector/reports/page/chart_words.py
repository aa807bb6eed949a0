"""The words of the report's and the console's charts: labels of points, and alternative texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from inspector.reports.page.period_reports import flagging_tests
from inspector.reports.page.words import Words, instant, printable

Row = Mapping[str, Any]


def label_of(row: Row, by: str) -> str:
    """Return the label of a row: ``03-23 06:00`` by hour, ``03-23`` by day, with its shift, or the Monday."""
    if by == "hour":
        return instant(str(row["hour"]))[5:]
    day = printable(row["day"])
    return f"{day[5:]} {printable(row['shift'])}" if by == "shift" else day if by == "week" else day[5:]


def interval(row: Row, words: Words) -> str:
    """Return a share of the report ``agreement`` with its interval."""
    return f"{words.share(row['share'])} ({words.share(row['low_share'])} – {words.share(row['high_share'])})"


def describe_trend(rows: Sequence[Row], by: str, words: Words) -> str:
    """Say the first, last, lowest and highest PASS share of the report ``trend``, and how many images."""
    low = min(rows, key=lambda row: row["pass_share"])
    high = max(rows, key=lambda row: row["pass_share"])
    return words(
        "plot.trend",
        by=words(f"plot.{by}"),
        first=words.share(rows[0]["pass_share"]),
        last=words.share(rows[-1]["pass_share"]),
        low=words.share(low["pass_share"]),
        low_at=label_of(low, by),
        high=words.share(high["pass_share"]),
        high_at=label_of(high, by),
        n=words.number(sum(row["n"] for row in rows)),
    )


def describe_p_chart(rows: Sequence[Row], by: str, words: Words) -> str:
    """Say the centre line of one station in the report ``p_chart``, and how many points signal a change."""
    return words(
        "plot.p_chart",
        station=printable(rows[0]["station"]),
        k=words.number(len(rows)),
        by=words(f"plot.{by}"),
        center=words.cell("center_share", rows[-1]["center_share"]),
        signals=sum(bool(flagging_tests(row)) for row in rows),
        outside=sum(bool(row["test_1"]) for row in rows),
    )


def describe_pareto(rows: Sequence[Row], words: Words) -> str:
    """Say the share of each defect in the report ``pareto``."""
    bars = ", ".join(f"{words.cell('class', row['class'])} {words.share(row['share'])}" for row in rows)
    return words("plot.pareto", n=words.number(rows[0]["of_n"]), bars=bars)


def describe_agreement(rows: Sequence[Row], words: Words) -> str:
    """Say each share of the report ``agreement`` with its interval."""
    bars = (f"{words.cell('measure', row['measure'])} {interval(row, words)}" for row in rows)
    return words("plot.agreement", bars=", ".join(bars))


def describe_latency(rows: Sequence[Row], words: Words) -> str:
    """Say the slowest hour of the report ``latency_by_hour``."""
    worst = max(rows, key=lambda row: row["p95_ms"])
    return words("plot.latency", high=words.cell("p95_ms", worst["p95_ms"]), high_at=label_of(worst, "hour"))
