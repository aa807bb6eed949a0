"""A pass over a seam: its frames as a strip, what follows from them, and one verdict for the whole."""

from __future__ import annotations

from typing import Final

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from inspector.console import seams
from inspector.console.grid_page import said_by_script
from inspector.console.shown import Choice
from inspector.console.state import page, person_of, site_of, words_of


def show(request: Request) -> Response:
    """The pass that the address names; without one, the list of passes."""
    choice, console = Choice.of(request.query_params), site_of(request).console
    if not (choice.part and choice.pass_no):
        return RedirectResponse("/charts/seams", 303)
    weld = seams.read(
        console.url,
        station=choice.station or console.station,
        part=choice.part,
        seam=choice.seam,
        pass_no=choice.pass_no,
        person=person_of(request).name,
        seam_rule=console.seam_rule,
        zone=console.zone,
    )
    same = Choice(station=weld.station, part=weld.part, seam=weld.seam, pass_no=weld.pass_no)
    return page(
        request,
        "seam.html",
        weld=weld,
        rule=console.seam_rule,
        choice=same.query(),
        said=said_by_script(words_of(request)),
    )


ROUTES: Final[list[BaseRoute]] = [Route("/seam", show)]
