"""The images that a verdict is for, by number or by part, seam and pass; and what was said of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import URL

from inspector.errors import UsageError
from inspector.ledger import database, sites
from inspector.ledger.schema import audit_sample, review
from inspector.ledger.schema import inspection as inspections
from inspector.ledger.schema import station as stations


@dataclass(frozen=True, slots=True)
class Judged:
    """An inspected image, with what the station said and the latest of what people said."""

    inspection: int
    station: str
    part: str | None
    seam: str | None
    pass_no: int | None
    verdict: str  # the station's
    label: str
    confidence: float
    reason: str | None  # of a REVIEW
    reviewer: str | None  # of the latest verdict by a person; None: nobody has looked yet
    human_verdict: str | None
    is_audited: bool  # it is in a random sample of PASS images

    @property
    def where(self) -> str:
        """Part, seam and pass, for people; empty if the file's name has no part."""
        words = ("part", self.part), ("seam", self.seam), ("pass", self.pass_no)
        return ", ".join(f"{name} {value}" for name, value in words if value is not None)

    @property
    def said(self) -> str:
        """The words of the station, and those of a person if there are any."""
        reason = f" ({self.reason})" if self.reason else ""
        station = f"the station had said {self.verdict} {self.label} {self.confidence:.3f}{reason}"
        return f"{station}, {self.reviewer} {self.human_verdict}" if self.reviewer else station


def passes(images: Sequence[Judged]) -> list[list[Judged]]:
    """Return the images of each pass over a seam, in their order; images without a part are in none."""
    found: dict[tuple[Any, ...], list[Judged]] = {}
    for image in images:
        if image.part is not None:
            weld = image.station, image.part, image.seam, image.pass_no
            found.setdefault(weld, []).append(image)
    return list(found.values())


def by_number(url: URL | str, numbers: Sequence[int]) -> list[Judged]:
    """Return the images with these inspection numbers, in their order; unknown numbers are left out.

    Raises:
        SchemaError: the database lacks the schema.
        StoreUnavailable: the server does not answer.
    """
    found: dict[int, Judged] = {}
    with database.reading(url) as engine, database.transaction(engine) as connection:
        database.require_schema(connection)
        for some in database.batches(dict.fromkeys(numbers)):
            rows = connection.execute(_judged().where(inspections.c.id.in_(some)))
            found |= {row.inspection: Judged(**row._mapping) for row in rows}
    return [found[number] for number in dict.fromkeys(numbers) if number in found]


def by_seam(
    url: URL | str,
    part: str,
    *,
    seam: str | None = None,
    pass_no: int | None = None,
    station: str | None = None,
) -> list[Judged]:
    """Return every image of a part, the oldest first.

    Args:
        url: the quality database.
        part: the part, as the file names say it.
        seam: only this seam; None: all of the part.
        pass_no: only this pass; None: all.
        station: only this station, or those of this site; None: all.

    Raises:
        UsageError: there is no such image.
        SchemaError: the database lacks the schema.
        StoreUnavailable: the server does not answer.
    """
    wanted: dict[str, tuple[sa.ColumnElement[bool], str | int | None]] = {
        "part": (inspections.c.part == part, part),
        "seam": (inspections.c.seam == seam, seam),
        "pass": (inspections.c.pass_no == pass_no, pass_no),
        "station": (sites.chosen(station or ""), station),
    }
    conditions = [condition for condition, value in wanted.values() if value is not None]
    every = inspections.c.station_id.in_(
        sa.select(stations.c.id)
    )  # the index on parts begins with the station
    query = _judged().where(every, *conditions).order_by(inspections.c.taken_us, inspections.c.id)
    with database.reading(url) as engine, database.transaction(engine) as connection:
        database.require_schema(connection)
        found = [Judged(**row._mapping) for row in connection.execute(query)]
    if not found:
        asked = " ".join(f"--{name} {value}" for name, (_, value) in wanted.items() if value is not None)
        raise UsageError(
            f"no data: no image of {asked}; 'review next' shows parts and seams as they are named"
        )
    return found


def _judged() -> sa.Select[Any]:
    """Return a query for the columns of :class:`Judged`."""
    c = inspections.c
    newest = (
        sa.select(sa.func.max(review.c.id))
        .where(review.c.inspection_id == c.id)
        .scalar_subquery()
        .correlate(inspections)
    )
    latest = review.alias("latest")
    audited = sa.exists().where(audit_sample.c.inspection_id == c.id)
    return (
        sa.select(
            c.id.label("inspection"),
            stations.c.name.label("station"),
            *(c.part, c.seam, c.pass_no, c.verdict, c.label, c.confidence, c.reason),
            latest.c.reviewer,
            latest.c.verdict.label("human_verdict"),
            audited.label("is_audited"),
        )
        .join(stations, stations.c.id == c.station_id)
        .outerjoin(latest, latest.c.id == newest)
    )
