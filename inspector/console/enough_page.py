"""How much is proven: the bound on escapes, what would move it, and the verdicts for the next training."""

from __future__ import annotations

import shlex
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from inspector.console import enough
from inspector.console.kept import Kept
from inspector.console.state import page, site_of, words_of

_KEPT_S: Final = 30.0  # the report on all images takes seconds on a ledger of a million


def show(request: Request) -> Response:
    """Both figures, each with the command that comes next."""
    console, words = site_of(request).console, words_of(request)
    kept: Kept[enough.Escapes] = site_of(request).parts.setdefault(
        f"enough {words.language}",
        Kept(lambda: enough.escapes(console.url, words, station=console.station, zone=console.zone), _KEPT_S),
    )
    escapes = kept()
    nearest = next((more for more in escapes.needed.values() if more), 0)
    return page(
        request,
        "enough.html",
        escapes=escapes,
        draw=max(0, nearest - escapes.waiting),
        config=shlex.quote(str(console.config)),
        training=enough.for_training(console.url, console.station, console.config),
    )


ROUTES: Final[list[BaseRoute]] = [Route("/enough", show)]
