"""The production reports as live pages: what a link asks for is in its address."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from inspector.console import blind, charts
from inspector.console.charts import Asked
from inspector.console.state import Console, page, person_of, site_of, words_of
from inspector.errors import SchemaError, UsageError
from inspector.ledger import database
from inspector.reports import definitions, query, rendering
from inspector.reports.page.period_reports import flagging_tests
from inspector.reports.page.words import Words
from inspector.reports.query import Report

_MAX_ROWS: Final = 300  # of a page; the CSV file has all


def index(request: Request) -> Response:
    """Every report with its question."""
    words = words_of(request)
    reports = [(name, title_of(name, words), definitions.names()[name]) for name in charts.names()]
    return page(request, "charts.html", reports=reports)


def chart(request: Request) -> Response:
    """One report: its chart, if it has one, and its rows."""
    console, words, name = site_of(request).console, words_of(request), request.path_params["report"]
    shown = {"report": name, "title": title_of(name, words), "about": definitions.read(name)}
    asked, result, error = Asked(name), None, None
    try:
        asked = Asked.of(name, request.query_params)
        result = _as_seen(request, run(console, asked))
    except SchemaError:
        raise
    except UsageError as mistake:  # in the address: the form stays, so that it can be corrected
        error = str(mistake).replace("--", "")
    rows = charts.rows_of(result) if result else []
    latest = rows[::-1] if name in ("p_chart", "trend", "latency_by_hour") else rows
    return page(
        request,
        "chart.html",
        200 if error is None else 422,
        **shown,
        asked=asked,
        error=error,
        others=[(other, title_of(other, words), asked.address(other)) for other in charts.names()],
        stations=query.stations_and_sites(console.url, datetime.now(UTC)),
        groupings=query.GROUPINGS.get(name, ()),
        takes=definitions.takes,
        default_days=charts.DEFAULT_DAYS,
        counted=result.query.counted if result else None,
        drawings=charts.drawings(result, words) if result else [],
        proved=rendering.words_of(result, words) if result else None,
        columns=[
            name for name in (result.columns if result else ()) if any(row[name] is not None for row in rows)
        ],
        rows=[(row, charts.link_of(row, result.query)) for row in latest[:_MAX_ROWS]] if result else [],
        more=len(rows[_MAX_ROWS:]),
        is_number=lambda column: all(isinstance(row[column], int | float | None) for row in rows),
        is_signal=lambda row: name == "p_chart" and bool(flagging_tests(row)),
        csv=asked.address(f"{name}.csv"),
    )


def csv_file(request: Request) -> Response:
    """All rows of one report as CSV."""
    name = request.path_params["report"]
    report = _as_seen(request, run(site_of(request).console, Asked.of(name, request.query_params)))
    headers = {"content-disposition": f'attachment; filename="{report.query.report}.csv"'}
    return Response(
        rendering.render(report, "csv") + "\n", media_type="text/csv; charset=utf-8", headers=headers
    )


def run(console: Console, asked: Asked) -> Report:
    """Run the report that an address asks for.

    Raises:
        UsageError: the address asks for something that is not there.
        StoreUnavailable: the server does not answer.
    """
    return query.run(console.url, asked.query(console.zone, console.seam_rule, datetime.now(UTC)))


def _as_seen(request: Request, report: Report) -> Report:
    """A report as the person who asks may see it."""
    if report.query.report != "review_queue":  # the only one with a row for an image
        return report
    with database.reading(site_of(request).console.url) as engine, database.transaction(engine) as connection:
        return blind.without_answers(connection, report, person_of(request).name)


def title_of(report: str, words: Words) -> str:
    """The title of a report in the person's language; its name if the catalogue has none."""
    for key in (f"section.{report}", f"chart.{report}"):
        try:
            return words(key)
        except KeyError:
            continue
    return report.replace("_", " ")


ROUTES: Final[list[BaseRoute]] = [
    Route("/charts", index),
    Route("/charts/{report}.csv", csv_file),
    Route("/charts/{report}", chart),
]
