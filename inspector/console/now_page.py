"""The first page: the station's state, and the last images as they come, by server-sent events."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any, Final

import sqlalchemy as sa
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from inspector.console import charts, enough, shown, signal_page
from inspector.console.kept import Kept
from inspector.console.shown import Shown
from inspector.console.state import Site, page, person_of, site_of, words_of
from inspector.errors import StationError
from inspector.ledger import database
from inspector.ledger.schema import inspection
from inspector.reports.page.words import Words, instant, printable
from inspector.times import iso

_FRAMES: Final = 20  # on the page: what a shop's screen shows without scrolling
_STATE_S: Final = 2.0  # the state is asked for at most this often, however many screens show it
_LATEST_S: Final = 0.5  # likewise the last images
_POLL_S: Final = 1.0  # a frame is on the screen this soon after its commit
_SILENCE_S: Final = 15.0  # a comment keeps a proxy from cutting a quiet stream
_STREAM_S: Final = 600.0  # then the browser asks again, and the session is checked again
_MAX_STREAMS: Final = 64  # a shop has some ten screens


class _Station:
    """What all open first pages share."""

    def __init__(self, site: Site) -> None:
        console = site.console
        self.state = Kept(lambda: list(console.status()), _STATE_S)
        self.latest = Kept(lambda: latest(console.url, _FRAMES), _LATEST_S)
        self.signals = signal_page.unanswered_of(site)
        self.artifact = Kept(lambda: enough.artifact_in_force(console.url, console.station), _STATE_S)
        self.streams = 0


def latest(url: sa.engine.URL | str, most: int) -> list[Shown]:
    """Return the images that were judged last, the newest first, for everybody who looks.

    Raises:
        StoreUnavailable: the server does not answer.
    """
    with database.reading(url) as engine, database.transaction(engine) as connection:
        database.require_schema(connection)
        numbers = list(
            connection.scalars(sa.select(inspection.c.id).order_by(inspection.c.id.desc()).limit(most))
        )
    return shown.by_number(url, numbers, "")


def show(request: Request) -> Response:
    """The first page."""
    station = _station(request)
    known: dict[str, Any] = {"frames": [], "signals": 0, "artifact": None}
    with suppress(StationError):  # the lines of the state say what is wrong with the database
        known = {"frames": _frames(request), "signals": station.signals(), "artifact": station.artifact()}
    return page(request, "now.html", lines=station.state(), **known)


def state(request: Request) -> Response:
    """The state alone, which the page asks for again and again."""
    return page(request, "_state.html", lines=_station(request).state())


async def events(request: Request) -> Response:
    """The images that are judged from now on."""
    station = _station(request)
    if station.streams >= _MAX_STREAMS:
        return JSONResponse({"error": "too many screens are open; close one"}, 503)
    return StreamingResponse(
        _stream(request, station), media_type="text/event-stream", headers={"x-accel-buffering": "no"}
    )


async def _stream(request: Request, station: _Station) -> AsyncIterator[str]:
    station.streams += 1
    person = person_of(request)
    try:
        until, spoke = time.monotonic() + _STREAM_S, 0.0
        seen = _number(request.headers.get("last-event-id"))
        while time.monotonic() < until and not await request.is_disconnected():
            if site_of(request).people.person(person.name) != person:
                return  # removed, or another password or role
            try:
                frames = await run_in_threadpool(_frames, request)
            except StationError as error:
                yield f"event: away\ndata: {json.dumps(str(error))}\n\n"
                frames, spoke = [], time.monotonic()
            for frame in reversed(frames):
                if seen is not None and frame["inspection"] > seen:
                    yield f"id: {frame['inspection']}\ndata: {json.dumps(frame)}\n\n"
                    spoke = time.monotonic()
            seen = max([seen or 0, *(frame["inspection"] for frame in frames)])
            if time.monotonic() - spoke > _SILENCE_S:
                yield ": still here\n\n"
                spoke = time.monotonic()
            await asyncio.sleep(_POLL_S)
    finally:
        station.streams -= 1


def _frames(request: Request) -> list[dict[str, Any]]:
    words, zone = words_of(request), site_of(request).console.zone
    return [
        _frame(image, words, instant(iso(image.inspected_us, zone) or ""))
        for image in _station(request).latest()
    ]


def _frame(image: Shown, words: Words, at: str) -> dict[str, Any]:
    """Return a row of the page as plain text."""
    place = (
        ""
        if image.part is None
        else " / ".join(str(one) for one in (image.part, image.seam, image.pass_no) if one)
    )
    said = f"{printable(image.label)} {words.number(image.confidence, 2)}"
    return {
        "inspection": image.inspection,
        "at": at,
        "verdict": "" if image.is_audited else image.final,
        "said": words("show.hidden") if image.is_audited else said,
        "place": printable(place),
        "seam": None
        if image.part is None or image.pass_no is None
        else charts.seam_address(image.station, image.part, image.seam, image.pass_no),
        "station": printable(image.station),
        "file": printable(image.source_name),
    }


def _station(request: Request) -> _Station:
    site = site_of(request)
    station: _Station = site.parts.setdefault("now", _Station(site))
    return station


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdecimal() and len(text) < 19 else None


ROUTES: Final[list[BaseRoute]] = [
    Route("/", show),
    Route("/now/state", state),
    Route("/events", events),
]
