"""The signals of the p-charts; a person acknowledges each with its cause and what was done."""

from __future__ import annotations

import dataclasses
import uuid
from datetime import UTC, datetime
from typing import Any, Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from inspector.console import chart_pages, charts
from inspector.console.charts import Asked
from inspector.console.kept import Kept
from inspector.console.people import Role
from inspector.console.state import Console, Site, page, require, site_of, words_of
from inspector.console.verdicts import writer_of
from inspector.errors import SchemaError, StationError, UsageError
from inspector.records import SignalNote
from inspector.reports import query
from inspector.reports.page.chart_words import label_of
from inspector.reports.page.period_reports import flagging_tests

REPORT: Final = "signals"
DAYS: Final = 28  # as the reference period: a signal of the last month may still be without an answer
_MAX_TEXT: Final = 2000
_KEPT_S: Final = 60.0  # the charts of four weeks take up to a second on a large ledger


def asked_of(request: Request) -> Asked:
    """What the address asks for; by default the last four weeks.

    Raises:
        UsageError: the address is wrong.
    """
    asked = Asked.of(REPORT, request.query_params)
    is_given = request.query_params.get("days", "").strip()
    return asked if asked.days is None or is_given else dataclasses.replace(asked, days=DAYS)


def unanswered(console: Console) -> int:
    """Return how many signals of the last four weeks nobody has acknowledged.

    Raises:
        StoreUnavailable: the server does not answer.
    """
    report = chart_pages.run(console, Asked(REPORT, days=DAYS))
    return sum(row["person"] is None for row in charts.rows_of(report))


def unanswered_of(site: Site) -> Kept[int]:
    """The same number for everybody, which is counted again after each note, and once a minute."""
    kept: Kept[int] = site.parts.setdefault("signals", Kept(lambda: unanswered(site.console), _KEPT_S))
    return kept


def show(request: Request) -> Response:
    """The signals, those without an answer first."""
    return _page(request)


async def note(request: Request) -> Response:
    """Record a cause and an action; the same form sent twice is one note."""
    person = require(request, Role.REVIEW).name
    async with request.form(max_files=0, max_fields=8) as form:
        given = {
            key: str(form.get(key, "")).replace("\0", "").strip()[:_MAX_TEXT]
            for key in ("signal", "cause", "action", "key")
        }
    error = None
    if not (given["signal"] and given["cause"] and given["action"]):
        error = words_of(request)("signal.empty")
    else:
        written = SignalNote(
            "p_chart",
            given["signal"],
            person,
            given["cause"],
            given["action"],
            _key(given["key"]),
        )
        try:
            await run_in_threadpool(writer_of(site_of(request)).note, written)
            unanswered_of(site_of(request)).forget()
        except StationError as trouble:  # the page keeps what was typed
            error = str(trouble)
    if error is None:
        return RedirectResponse(f"/signals?{request.url.query}", 303)
    return await run_in_threadpool(_page, request, 422, error=error, given=given)


def _key(text: str) -> str:
    """Return the form's own key, or a new one if the form was changed by hand."""
    try:
        return str(uuid.UUID(text))
    except ValueError:
        return str(uuid.uuid4())


def _page(
    request: Request, status: int = 200, *, error: str | None = None, given: dict[str, str] | None = None
) -> Response:
    console, words = site_of(request).console, words_of(request)
    asked, rows, request_of = Asked(REPORT, days=DAYS), [], None
    try:
        asked = asked_of(request)
        report = chart_pages.run(console, asked)
        rows, request_of = charts.rows_of(report), report.query
    except SchemaError:
        raise
    except UsageError as mistake:
        error, status = str(mistake).replace("--", ""), 422
    by = asked.by or query.GROUPINGS[REPORT][0]

    def described(row: dict[str, Any]) -> dict[str, Any]:
        return row | {
            "label": label_of(row, by),
            "tests": ", ".join(map(str, flagging_tests(row))),
            "images": charts.link_of(row, request_of) if request_of else None,
            "chart": asked.address("p_chart", station=row["station"]),
            "key": str(uuid.uuid4()),
        }

    shown = [described(row) for row in rows]
    return page(
        request,
        "signals.html",
        status,
        asked=asked,
        by=by,
        error=error,
        given=given or {},
        title=words("signal.title"),
        open_ones=[row for row in shown if row["person"] is None],
        answered=[row for row in shown if row["person"] is not None],
        stations=query.stations_and_sites(console.url, datetime.now(UTC)),
        groupings=query.GROUPINGS[REPORT],
    )


ROUTES: Final[list[BaseRoute]] = [Route("/signals", show), Route("/signals", note, methods=["POST"])]
