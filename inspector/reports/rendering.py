"""A report as text: a table for people, CSV, or one JSON object."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from inspector.errors import UsageError
from inspector.reports import audit, escapes
from inspector.reports.page.words import Words
from inspector.reports.query import VERDICTS, Query, Report
from inspector.spreadsheets.cells import as_cell

BYTE_ORDER_MARK = "\ufeff"
_IN_WORDS = {"agreement": audit.in_words, "escapes": escapes.in_words}
_CONSOLE_COLUMNS = 10_000  # wide enough for every row: a table cut to the window would hide figures


def render(report: Report, form: str = "table") -> str:
    """The report as text: ``table`` for people, ``csv``, or ``json``, one object.

    Raises:
        UsageError: another format.
    """
    if form == "json":
        return _json(report)
    if form == "csv":
        return _csv(report)
    if form == "table":
        return _table(report)
    raise UsageError(f"there is no format '{form}'; use table, csv or json")


def words_of(report: Report, words: Words | None = None) -> str | None:
    """What the rows prove, in a language, by default English; None for a report that does not need words."""
    in_words = _IN_WORDS.get(report.query.report)
    rows = [dict(zip(report.columns, row, strict=True)) for row in report.rows]
    return in_words(rows, words or Words()) if in_words else None


def _json(report: Report) -> str:
    query = report.query
    content = {
        "report": query.report,
        "period": {"since": query.since, "until": query.until},
        "verdicts": query.counted,
        "words": words_of(report),
        "columns": report.columns,
        "rows": [dict(zip(report.columns, row, strict=True)) for row in report.rows],
    }
    return json.dumps(content, ensure_ascii=False)


def _csv(report: Report) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(report.columns)
    writer.writerows([as_cell(value) for value in row] for row in report.rows)
    text = buffer.getvalue().rstrip("\n")
    # Excel reads a CSV as UTF-8 only with this mark. Without other letters it would only disturb scripts.
    return text if text.isascii() else f"{BYTE_ORDER_MARK}{text}"


def _table(report: Report) -> str:
    query = report.query
    if not report.rows:
        conditions = "".join(
            f" {option} {value}"
            for option in ("since", "until", "station", "part")
            if (value := getattr(query, option))
        )
        return f"no data for {query.report}{conditions}"
    table = Table(box=SIMPLE_HEAD, title=_title(query), title_justify="left")
    for number, column in enumerate(report.columns):
        numeric = all(isinstance(row[number], int | float | None) for row in report.rows)
        table.add_column(Text(column), justify="right" if numeric else "left", no_wrap=True)
    for row in report.rows:
        table.add_row(*(Text(_cell(*pair)) for pair in zip(report.columns, row, strict=True)))
    console = Console(file=io.StringIO(), width=_CONSOLE_COLUMNS, color_system=None)
    with console.capture() as capture:
        console.print(table)
    lines = "\n".join(line.rstrip() for line in capture.get().splitlines()).strip("\n")
    words = words_of(report)
    return "\n\n".join(text for text in (lines, words, _rest(report)) if text is not None)


def _rest(report: Report) -> str | None:
    """A line that says that there are more rows than these."""
    if not report.is_cut:
        return None
    which = "newest" if report.query.newest_last else "first"
    return f"These are the {which} {len(report.rows):,} rows. --limit N shows more, and --format csv has all."


def _title(query: Query) -> str:
    return f"{query.report} ({VERDICTS[query.counted]})" if query.counted else query.report


def _cell(column: str, value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        if column.endswith("share"):
            return f"{value:.1%}"
        return f"{value:.1f}" if column.endswith("_ms") else f"{value:.3f}"
    return str(value)
