"""Up to 48 images side by side: a person marks the odd ones, and one key decides all the others."""

from __future__ import annotations

import json
from typing import Final
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from inspector.console import charts, grid
from inspector.console.shown import Choice
from inspector.console.state import page, person_of, site_of, words_of
from inspector.reports.page.words import Words

_SAID: Final = ("grid.odd", "grid.marked", "grid.saving", "grid.saved", "weld.undecided")


def show(request: Request) -> Response:
    """The images that the address names; the page sends each verdict as the review does."""
    console, query = site_of(request).console, request.query_params
    choice, search = Choice.of(query), query.get("q", "").strip()[:500]
    text = query.get("page", "1")
    number = int(text) if text.isascii() and text.isdecimal() and len(text) < 5 else 1
    number = min(grid.MAX_PAGES, max(1, number))
    found = grid.read(
        console.url, choice, person_of(request).name, search=search, page=number, zone=console.zone
    )

    def address(other: int) -> str:
        named = (
            choice.query() | ({"q": search} if search else {}) | ({"page": str(other)} if other > 1 else {})
        )
        return f"/grid?{urlencode(named)}"

    return page(
        request,
        "grid.html",
        grid=found,
        choice=choice,
        search=search,
        before=address(number - 1) if number > 1 else None,
        after=address(number + 1) if found.has_more else None,
        defects=grid.defects(console.url)[:9],
        seam_address=charts.seam_address,
        said=said_by_script(words_of(request), *_SAID),
    )


def said_by_script(words: Words, *keys: str) -> str:
    """The words that a script says, as JSON: those of the outbox, and of these keys without their group."""
    named = {key.partition(".")[2]: words(key) for key in keys}
    kept = {name: words(f"keep.{name}") for name in words.keys("keep")}
    return json.dumps(kept | named, ensure_ascii=False)


ROUTES: Final[list[BaseRoute]] = [Route("/grid", show)]
