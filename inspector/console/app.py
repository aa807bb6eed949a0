"""The console's pages and what comes before them, as one Starlette application."""

from __future__ import annotations

import logging
from typing import Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from inspector.console import (
    chart_pages,
    enough_page,
    find_page,
    grid_page,
    images,
    now_page,
    protection,
    quarantine_page,
    review_page,
    seam_page,
    sign_in,
    signal_page,
    verdicts,
)
from inspector.console.people import People
from inspector.console.state import LANGUAGE_COOKIE, STATIC, Console, Site, page, words_of
from inspector.errors import StationError, StoreUnavailable
from inspector.reports.page.words import LANGUAGES

log = logging.getLogger("weldnet")

_MESSAGES: Final = {401: "error.sign_in", 403: "error.role", 404: "error.nothing", 405: "error.nothing"}
_LANGUAGE_AGE_S: Final = 365 * 86_400  # a choice of language lasts a year


def build(console: Console) -> Starlette:
    """Put the console together.

    Raises:
        SettingsError: the users file is wrong.
    """
    people = People.load(console.people)
    app = Starlette(
        routes=routes(),
        middleware=[*protection.middleware(console), *sign_in.middleware(console, people)],
        exception_handlers={HTTPException: _refused, StationError: _failed, Exception: _broken},
    )
    app.state.site = Site(console, people)
    return app


def routes() -> list[BaseRoute]:
    """Every address of the console; each page's module has its own."""
    return [
        *sign_in.ROUTES,
        *now_page.ROUTES,
        *chart_pages.ROUTES,
        *seam_page.ROUTES,
        *grid_page.ROUTES,
        *find_page.ROUTES,
        *quarantine_page.ROUTES,
        *signal_page.ROUTES,
        *enough_page.ROUTES,
        *review_page.ROUTES,
        *images.ROUTES,
        *verdicts.ROUTES,
        Route("/language/{language}", _choose_language),
        Route("/health", lambda request: PlainTextResponse("ok\n")),
        Mount("/static", StaticFiles(directory=STATIC)),
    ]


def _choose_language(request: Request) -> Response:
    answer = RedirectResponse(sign_in.local_path(request.query_params.get("next")), 303)
    if (language := request.path_params["language"]) in LANGUAGES:
        answer.set_cookie(LANGUAGE_COOKIE, language, _LANGUAGE_AGE_S, samesite="strict", httponly=True)
    return answer


def _refused(request: Request, error: Exception) -> Response:
    """A request that the console does not carry out, in words."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    key = _MESSAGES.get(status)
    detail = error.detail if isinstance(error, HTTPException) else ""
    return _say(request, words_of(request)(key) if key else detail, status)


def _failed(request: Request, error: Exception) -> Response:
    """An expected error of the station: one line, as commands give it."""
    status = 503 if isinstance(error, StoreUnavailable) else 422
    log.warning("console: %s: %d: %s", request.url.path, status, error)
    return _say(request, str(error), status)


def _broken(request: Request, error: Exception) -> Response:
    """A mistake in this program; the log has it. The answer comes from outside of all middleware."""
    return PlainTextResponse("the console has a defect; its log says more\n", 500, protection.HEADERS)


def _say(request: Request, text: str, status: int) -> Response:
    if request.url.path.startswith("/api/"):
        return JSONResponse({"error": text}, status)
    return page(request, "message.html", status, text=text)
