"""The page that shows one waiting image after the other, and the facts about each."""

from __future__ import annotations

import json
from typing import Any, Final

import sqlalchemy as sa
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from inspector.console import blind
from inspector.console.people import Role
from inspector.console.queue import SECOND, Holder, Order, Wish
from inspector.console.state import Console, page, person_of, require, site_of, words_of
from inspector.console.verdicts import waiting_of
from inspector.errors import UsageError
from inspector.ledger import database
from inspector.ledger.schema import inspection, review
from inspector.records import Json
from inspector.reports.page import pictures
from inspector.reports.page.pictures import InspectedImage
from inspector.reports.page.words import Words, instant, printable
from inspector.times import iso

KINDS: Final = ("review", "audit", SECOND, "fail", "undecided")
_MAX_IMAGES: Final = 20  # of one answer
_MAX_HELD: Final = 1000  # numbers in one request
_NEIGHBOURS: Final = 3  # frames of the seam before and after the image
_DIGITS: Final = 9  # keys 1 to 9


def show(request: Request) -> Response:
    """The page; its script asks for the images."""
    words, asked = words_of(request), request.query_params
    wish = _wish(request)
    return page(
        request,
        "review.html",
        wish=wish,
        orders=list(Order),
        kinds=KINDS,
        start=asked.get("inspection", ""),
        said=json.dumps({name: words(f"keep.{name}") for name in words.keys("keep")}, ensure_ascii=False),
    )


def queue(request: Request) -> Response:
    """Answer with the numbers of the next images for this person: they are nobody else's for some minutes."""
    person, asked = require(request, Role.REVIEW), request.query_params
    window = asked.get("window", "")[:64]
    images, count = waiting_of(site_of(request)).take(
        Holder(person.name, window),
        _wish(request),
        min(_MAX_IMAGES, _numbers(asked.get("count", "6"))[0]),
        _numbers(asked.get("held", "")),
        _numbers(asked.get("skip", "")),
    )
    found = [{"inspection": image.inspection, "why": image.why} for image in images]
    return JSONResponse({"images": found, "waiting": count})


def leave(request: Request) -> Response:
    """Give back the images of a window that is closed."""
    person = require(request, Role.REVIEW)
    holder = Holder(person.name, request.query_params.get("window", "")[:64])
    waiting_of(site_of(request)).give_back(holder)
    return Response(status_code=204)


def about(request: Request) -> Response:
    """Answer with what is known of an image; of an audit sample nothing that would sway the person."""
    number, words = request.path_params["inspection"], words_of(request)
    try:
        return JSONResponse(facts(site_of(request).console, number, person_of(request).name, words))
    except UsageError:
        return JSONResponse({"error": words("image.unknown", inspection=number)}, 404)


def facts(console: Console, number: int, person: str, words: Words) -> Json:
    """What a person may know of an image.

    Raises:
        UsageError: there is no such inspection.
        StoreUnavailable: the database does not answer.
    """
    image = pictures.by_inspection(console.url, number)
    with database.reading(console.url) as engine, database.transaction(engine) as connection:
        is_blind = bool(blind.hidden(connection, [number], person))
        said = [] if is_blind else _said(connection, number, console)
        neighbours = _neighbours(connection, number)
        unseen = blind.hidden(connection, [row.id for row in neighbours], person)
    open_facts: Json = {
        "inspection": number,
        "title": " · ".join(image.place(words)),
        "name": printable(image.source_name),
        "station": printable(image.station),
        "is_small": image.station != console.station,  # see inspector.console.images
        "at": instant(iso(image.inspected_us, console.zone) or ""),
        "part": image.part,
        "seam": image.seam,
        "pass": image.pass_no,
        "blind": is_blind,
        "classes": _classes(image, is_blind=is_blind),
        "has_heat": image.heat is not None and not is_blind,
        "said": said,
        "neighbours": [
            {
                "inspection": row.id,
                "here": row.id == number,
                "verdict": None if is_blind or row.id in unseen else row.verdict,
            }
            for row in neighbours
        ],
    }
    if is_blind:
        return open_facts
    return open_facts | {
        "verdict": image.verdict,
        "label": printable(image.label),
        "confidence": image.confidence,
        "novelty": image.novelty,
        "novelty_limit": image.thresholds.novelty,
        "explanation": image.explanation(words),
    }


def _classes(image: InspectedImage, *, is_blind: bool) -> list[Json]:
    """The classes of the artifact with their keys, and unless the look is blind with their probabilities."""
    limits = image.thresholds
    names = list(dict.fromkeys([*image.probabilities, *limits.accepted, *limits.defects]))
    keys = {name: str(place) for place, name in enumerate(limits.defects[:_DIGITS], 1)}
    return [
        {
            "name": name,
            "shown": printable(name),
            "role": "defect" if name in limits.defects else "accept",
            "key": keys.get(name),
            "probability": None if is_blind else image.probabilities.get(name),
            "threshold": None if is_blind else limits.of_class.get(name),
        }
        for name in (sorted(names) if is_blind else names)
    ]


def _said(connection: sa.Connection, number: int, console: Console) -> list[Json]:
    """What people said of an image, the oldest first."""
    query = sa.select(review).where(review.c.inspection_id == number).order_by(review.c.id)
    return [
        {
            "reviewer": printable(row.reviewer),
            "verdict": row.verdict,
            "label": row.label,
            "note": printable(row.note) if row.note else None,
            "at": instant(iso(row.reviewed_us, console.zone) or ""),
        }
        for row in connection.execute(query)
    ]


def _neighbours(connection: sa.Connection, number: int) -> list[Any]:
    """The image and the frames of its pass just before and after it, in their order."""
    c = inspection.c
    here = connection.execute(sa.select(inspection).where(c.id == number)).one()
    if here.part is None:
        return []
    seam = c.seam.is_(None) if here.seam is None else c.seam == here.seam
    columns = sa.select(c.id, c.verdict, c.taken_us).where(
        c.station_id == here.station_id, c.part == here.part, seam, c.pass_no == here.pass_no
    )
    place = sa.tuple_(c.taken_us, c.id)
    mine = sa.tuple_(sa.literal(here.taken_us), sa.literal(here.id))
    before = columns.where(place < mine).order_by(c.taken_us.desc(), c.id.desc()).limit(_NEIGHBOURS)
    after = columns.where(place > mine).order_by(c.taken_us, c.id).limit(_NEIGHBOURS)
    return [*reversed(connection.execute(before).all()), here, *connection.execute(after).all()]


def _wish(request: Request) -> Wish:
    asked = request.query_params
    order = asked.get("order", "queue")
    why = asked.get("why") or None
    if order not in list(Order) or (why is not None and why not in KINDS):
        raise HTTPException(404)
    return Wish(Order(order), why, asked.get("part", "").replace("\0", "") or None)


def _numbers(text: str) -> list[int]:
    """The numbers in a list such as ``1,2,3``.

    Raises:
        HTTPException: it is no such list.
    """
    words = [word for word in text.split(",") if word]
    if len(words) > _MAX_HELD or not all(
        word.isascii() and word.isdecimal() and len(word) < 19 for word in words
    ):
        raise HTTPException(400, "not a list of numbers")
    return [int(word) for word in words]


ROUTES: Final = [
    Route("/review", show),
    Route("/api/queue", queue),
    Route("/api/queue/leave", leave, methods=["POST"]),
    Route("/api/image/{inspection:number}", about),
]
