"""The files in quarantine; the role release may put them back into the drop folder."""

from __future__ import annotations

from typing import Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from inspector.console import quarantined
from inspector.console.people import Role
from inspector.console.state import page, require, site_of, words_of
from inspector.errors import StationError


def show(request: Request) -> Response:
    """The list."""
    return _page(request)


async def put_back(request: Request) -> Response:
    """Put the chosen files back."""
    person, words = require(request, Role.RELEASE), words_of(request)
    async with request.form(max_files=0, max_fields=quarantined.MAX_SHOWN + 1) as form:
        texts = [str(text) for text in form.getlist("row")]
    rows = [int(text) for text in texts if text.isascii() and text.isdecimal() and len(text) < 19]
    if not rows:
        return await run_in_threadpool(_page, request, 422, error=[words("hold.chose_none")])
    console = site_of(request).console
    try:
        result = await run_in_threadpool(quarantined.put_back, console, rows, person.name)
    except StationError as error:
        return await run_in_threadpool(_page, request, 422, error=[str(error)])
    went = words("hold.went", n=words.number(result.files))
    return await run_in_threadpool(_page, request, 200, error=result.left, went=went)


def _page(
    request: Request, status: int = 200, error: list[str] | None = None, went: str | None = None
) -> Response:
    console = site_of(request).console
    count, files = quarantined.in_quarantine(console.url, console.station)
    return page(request, "quarantine.html", status, files=files, count=count, error=error or [], went=went)


ROUTES: Final[list[BaseRoute]] = [
    Route("/quarantine", show),
    Route("/quarantine/requeue", put_back, methods=["POST"]),
]
