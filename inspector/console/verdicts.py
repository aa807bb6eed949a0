"""The verdicts that pages send: each has a key, and however often it comes, it is one row."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Annotated, Final

import sqlalchemy as sa
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from sqlalchemy.engine import URL
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from inspector.console import blind
from inspector.console.people import Role
from inspector.console.queue import WaitingImages
from inspector.console.state import Console, Site, require, site_of
from inspector.errors import StationError, UsageError
from inspector.ledger import database
from inspector.ledger.schema import review
from inspector.records import Review, SeamReview, SignalNote, Verdict
from inspector.review import verdicts
from inspector.review.recorder import Recorder, open_recorder

log = logging.getLogger("weldnet")

_UUID: Final = r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"


class Said(BaseModel):
    """A verdict as a page sends it: on an image, or on the pass over a seam whose newest frame it is."""

    model_config = ConfigDict(strict=True, extra="forbid")
    key: Annotated[str, Field(pattern=_UUID)]
    inspection: Annotated[int, Field(ge=1, le=2**63 - 1)]
    verdict: Verdict
    label: Annotated[str, Field(max_length=200)] | None = None
    note: Annotated[str, Field(max_length=2000)] | None = None
    blind: bool = False  # the page did not show what the station said
    on_seam: bool = False
    in_grid: bool = False  # given to many images at once, which an audit sample must not be
    undoes: Annotated[str, Field(pattern=_UUID)] | None = (
        None  # the key of the verdict that this one takes back
    )
    person: str | None = None  # who said it; someone else may have signed in before it could be sent


class Writer:
    """The console's way into the ledger, opened when it is first needed. Threads may use it."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._lock = threading.Lock()
        self._opened: tuple[ExitStack, Recorder] | None = None

    def record(self, reviews: Sequence[Review | SeamReview]) -> int:
        """Write verdicts of one person; see :meth:`inspector.review.recorder.Recorder.record`.

        Raises:
            UsageError: a verdict is wrong.
            StoreUnavailable: an outage; the same call later adds what is not in the ledger.
        """
        return self._with_recorder(reviews[0].reviewer, lambda recorder: recorder.record(reviews))

    def note(self, note: SignalNote) -> int:
        """Write a person's note on a signal; see :meth:`inspector.review.recorder.Recorder.note_signal`.

        Raises:
            UsageError: it has no cause.
            StoreUnavailable: an outage; the same call later adds the note if it is not in the ledger.
        """
        return self._with_recorder(note.person, lambda recorder: recorder.note_signal(note))

    def _with_recorder(self, person: str, work: Callable[[Recorder], int]) -> int:
        with self._lock:
            try:
                recorder = self._recorder()
                _require_names(recorder.account, person)
                return work(recorder)
            except StationError:
                self._close()  # the next one connects again
                raise

    def _recorder(self) -> Recorder:
        if self._opened is None:
            console, stack = self._console, ExitStack()
            opening = open_recorder(
                console.url, console.station, seam_gap_s=console.seam_gap_s, zone=console.zone
            )
            self._opened = stack, stack.enter_context(opening)
        return self._opened[1]

    def _close(self) -> None:
        if self._opened is not None:
            stack, self._opened = self._opened[0], None
            stack.close()


def _require_names(account: str | None, reviewer: str) -> None:
    if account not in (None, reviewer):
        raise StationError(
            f"this console may give verdicts as {account} alone; run it under the account weldnet-console"
        )


def writer_of(site: Site) -> Writer:
    """The console's writer."""
    writer: Writer = site.parts.setdefault("writer", Writer(site.console))
    return writer


def waiting_of(site: Site) -> WaitingImages:
    """The console's queue."""
    waiting: WaitingImages = site.parts.setdefault("waiting", WaitingImages(site.console))
    return waiting


async def post(request: Request) -> Response:
    """Record one verdict: 200 once it is a row, 422 if it never can be one, 503 if it must be sent again."""
    person = require(request, Role.REVIEW).name
    try:
        said = Said.model_validate_json(await request.body())
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "it"
        return JSONResponse({"error": f"not a verdict: {where}: {first['msg']}"}, 422)
    if said.person not in (None, person):
        return JSONResponse({"error": f"sign in as {said.person}", "person": said.person}, 401)
    try:
        return JSONResponse({"added": await run_in_threadpool(_record, site_of(request), said, person)})
    except StationError as error:
        is_mistake = isinstance(error, _Mistake)
        if not is_mistake:
            log.warning("console: a verdict of %s waits in the browser: %s", person, error)
        return JSONResponse({"error": str(error)}, 422 if is_mistake else 503)


class _Mistake(UsageError):
    """A verdict that can never be a row, however often it is sent."""


def _before(url: URL, said: Said) -> Said:
    """Return the verdict that an undone one replaced; as the page knows it if the undone one is no row.

    The page of a blind look does not know what others said before.
    """
    c = review.c
    of_image = sa.select(c.id, c.verdict, c.label).where(c.inspection_id == said.inspection)
    with database.reading(url) as engine, database.transaction(engine) as connection:
        undone = connection.execute(of_image.where(c.request_key == said.undoes)).first()
        if undone is None:
            return said
        before = connection.execute(of_image.where(c.id < undone.id).order_by(c.id.desc())).first()
    found = (Verdict(before.verdict), before.label) if before else (Verdict.REVIEW, None)
    return said.model_copy(update=dict(zip(("verdict", "label"), found, strict=True)))


def _record(site: Site, said: Said, person: str) -> int:
    is_blind = False
    url = site.console.url
    if said.undoes is not None:
        said = _before(url, said)
    if (said.blind or said.in_grid) and not said.on_seam:
        with database.reading(url) as engine, database.transaction(engine) as connection:
            if said.in_grid and blind.audited(connection, [said.inspection]):
                raise _Mistake(f"inspection {said.inspection} is in an audit sample: review it by itself")
            is_blind = said.blind and said.inspection in blind.hidden(connection, [said.inspection], person)
    written: Review | SeamReview
    note = (said.note or "").replace("\0", "") or None  # which PostgreSQL cannot store
    if said.on_seam:
        written = SeamReview(said.inspection, person, said.verdict, note, key=said.key)
    else:
        written = Review(
            said.inspection,
            person,
            said.verdict,
            said.label or None,
            note,
            key=said.key,
            is_blind=is_blind,
        )
    for mistake in verdicts.mistakes(url, [written]):
        if mistake is not None:
            raise _Mistake(mistake)
    added = writer_of(site).record([written])
    if not said.on_seam:
        waiting_of(site).answered(said.inspection)
    return added


ROUTES: Final = [Route("/api/verdicts", post, methods=["POST"])]
