"""The images of one grid, and the classes that its keys name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, tzinfo

import sqlalchemy as sa
from sqlalchemy.engine import URL

from inspector.console import shown
from inspector.console.find import find
from inspector.console.shown import MAX_IMAGES, Choice, Shown
from inspector.ledger import database
from inspector.ledger.schema import inspection, model

MAX_PAGES = 1000  # of one choice: more than people go through


@dataclass(frozen=True, slots=True)
class Grid:
    """One page of images, counted from 1.

    ``leaves_out`` says that blind images are missing. It is False if the choice names a verdict or class,
    because it would give away theirs.
    """

    images: Sequence[Shown]
    leaves_out: bool
    page: int
    has_more: bool


def read(
    url: URL | str, choice: Choice, person: str, *, search: str = "", page: int = 1, zone: tzinfo = UTC
) -> Grid:
    """Return a page of the images that match a search, or of a choice.

    Images of an audit sample that the person has not decided yet are left out: they are judged one by one.

    Raises:
        UsageError: a date is none.
        StoreUnavailable: the server does not answer.
    """
    if search:
        found, more = list(find(url, search, person, limit=MAX_IMAGES).images), False
    else:
        skip = (page - 1) * MAX_IMAGES
        found = shown.images(url, choice, person, zone=zone, limit=MAX_IMAGES + 1, skip=skip)
        found, more = found[:MAX_IMAGES], len(found) > MAX_IMAGES
    images = [image for image in found if not image.is_blind]
    names_verdict = bool(choice.verdict or choice.class_) and not search
    return Grid(images, len(images) < len(found) and not names_verdict, page, more)


def defects(url: URL | str) -> list[str]:
    """Return the defect classes of the artifact that judged last, in its order; they have the keys 1 to 9.

    Raises:
        StoreUnavailable: the server does not answer.
    """
    newest = sa.select(inspection.c.model_id).order_by(inspection.c.id.desc()).limit(1).scalar_subquery()
    with database.reading(url) as engine, database.transaction(engine) as connection:
        metadata = connection.scalar(sa.select(model.c.metadata).where(model.c.id == newest)) or {}
    return [known["name"] for known in metadata.get("classes", []) if known["role"] == "defect"]
