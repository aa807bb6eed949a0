"""The images that a list, a strip or a grid shows, chosen by what an address names."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, date, timedelta, tzinfo
from itertools import islice
from typing import Any, Self

import sqlalchemy as sa
from sqlalchemy.engine import URL

from inspector.errors import UsageError
from inspector.ledger import database, sites
from inspector.ledger.schema import audit_sample, inspection, model, review
from inspector.ledger.schema import station as stations
from inspector.records import Verdict
from inspector.reports.query import DEFAULT_VERDICTS, VERDICTS
from inspector.times import instants

MAX_IMAGES = 48  # of one grid: six rows of eight on a shop's screen
_MAX_SCANNED = 200_000  # the newest inspections of a choice without a period or part: about a second
_HOUR_US = 3_600_000_000
_IN_ADDRESS = {"class_": "class", "is_unnamed": "unnamed", "pass_no": "pass"}  # the others have their names


@dataclass(frozen=True, slots=True)
class Shown:
    """One inspected image with the words of the station and the latest ones of a person."""

    inspection: int
    station: str
    source_name: str
    sha256: str
    part: str | None
    seam: str | None
    pass_no: int | None
    taken_us: int
    inspected_us: int
    verdict: str  # the station's
    label: str
    confidence: float
    reason: str | None  # of a REVIEW
    reviewer: str | None  # of the latest verdict by a person
    human_verdict: str | None
    human_label: str | None
    is_audited: bool  # it is in a random sample of PASS images
    is_blind: bool  # and the person who looks has not decided yet: all verdicts stay hidden

    @property
    def final(self) -> str:
        """The final verdict: the latest of a person if it is PASS or FAIL, else the station's."""
        return self.human_verdict if self.human_verdict in ("PASS", "FAIL") else self.verdict


@dataclass(frozen=True, slots=True)
class Choice:
    """A choice of images, as an address names it; None: any.

    Attributes:
        station: the camera PC, or a site for all stations below it.
        part: as the file name says it; likewise ``seam`` and ``pass_no``.
        since: ISO date or time, inclusive, of the judgement.
        until: the same, exclusive.
        by: the grouping of a chart, which ``hour`` or ``day`` and ``shift`` name one point of.
        verdict: PASS, FAIL or REVIEW, of the ``verdicts`` that are counted.
        class_: the class as the report ``pareto`` counts it.
        is_unnamed: only images that a person failed without naming a class.
        verdicts: ``final`` or ``station``.
    """

    station: str | None = None
    part: str | None = None
    seam: str | None = None
    pass_no: int | None = None
    since: str | None = None
    until: str | None = None
    by: str | None = None
    hour: str | None = None
    day: str | None = None
    shift: str | None = None
    verdict: str | None = None
    class_: str | None = None
    is_unnamed: bool = False
    verdicts: str = DEFAULT_VERDICTS

    @classmethod
    def of(cls, query: Mapping[str, str]) -> Self:
        """Return the choice that the query of an address names; empty values count as left out.

        Raises:
            UsageError: a number, a verdict or a date is none.
        """
        texts = {one.name: query.get(_IN_ADDRESS.get(one.name, one.name), "").strip() for one in fields(cls)}
        given: dict[str, Any] = {name: text.replace("\0", "") for name, text in texts.items() if text}
        if "pass_no" in given:
            given["pass_no"] = _whole(given["pass_no"], "pass")
        given["is_unnamed"] = bool(given.get("is_unnamed"))
        choice = cls(**given)
        if choice.verdict and choice.verdict not in Verdict.__members__:
            raise UsageError(f"verdict '{choice.verdict}': there is {', '.join(Verdict.__members__)}")
        if choice.verdicts not in VERDICTS:
            raise UsageError(f"verdicts '{choice.verdicts}': there is {' and '.join(VERDICTS)}")
        return choice

    def query(self, **changed: Any) -> dict[str, str]:
        """Return the query of an address that names this choice, with some values changed."""
        choice = replace(self, **changed)
        values = {one.name: getattr(choice, one.name) for one in fields(choice)}
        values |= {"is_unnamed": "1" if choice.is_unnamed else ""}
        values |= {"verdicts": choice.verdicts if choice.verdicts != DEFAULT_VERDICTS else ""}
        return {_IN_ADDRESS.get(name, name): str(value) for name, value in values.items() if value}

    @property
    def is_recent(self) -> bool:
        """Whether only the newest images are looked at, since no index leads to the older ones."""
        return not any((self.part, self.since, self.until, self.day, self.hour))

    @property
    def is_empty(self) -> bool:
        """Whether it names nothing, and so chooses every image."""
        return self == Choice(verdicts=self.verdicts)


def images(
    url: URL | str,
    choice: Choice,
    person: str,
    *,
    zone: tzinfo = UTC,
    limit: int = MAX_IMAGES,
    skip: int = 0,
) -> list[Shown]:
    """Return the newest images of a choice, the newest first; those of one pass from its first frame on.

    Args:
        url: the quality database.
        choice: the images.
        person: see :func:`by_number`.
        zone: the station's time zone.
        limit: the largest number of images.
        skip: so many images before the first.

    Raises:
        UsageError: a date is none.
        SchemaError: the database lacks the schema.
        StoreUnavailable: the server does not answer.
    """
    with database.reading(url) as engine, database.transaction(engine) as connection:
        database.require_schema(connection)
        if choice.class_:
            found = _of_class(connection, choice, zone, skip + limit)[skip:]
        else:
            found = list(connection.scalars(_numbers(choice, zone).offset(skip).limit(limit)))
        return _shown(connection, found, person)


def by_number(url: URL | str, numbers: Sequence[int], person: str) -> list[Shown]:
    """Return the images with these inspection numbers, in this order; unknown numbers are left out.

    Args:
        url: the quality database.
        numbers: of inspections.
        person: who looks: the verdicts on an audit sample stay hidden until this person has decided.

    Raises:
        SchemaError: the database lacks the schema.
        StoreUnavailable: the server does not answer.
    """
    with database.reading(url) as engine, database.transaction(engine) as connection:
        database.require_schema(connection)
        return _shown(connection, numbers, person)


def _numbers(choice: Choice, zone: tzinfo, accepted: Collection[str] = ()) -> sa.Select[Any]:
    """Return a query for the numbers of the inspections, in their order.

    With a class it may give too many: those with one of the ``accepted`` classes as well.
    """
    decided = sa.table("v_decision", sa.column("inspection_id"), sa.column("verdict"), sa.column("label"))
    c, d = inspection.c, decided.c
    is_final = choice.verdicts != "station"
    query = sa.select(c.id).join(stations, stations.c.id == c.station_id).where(*_conditions(choice, zone))
    query = query.outerjoin(decided, sa.and_(d.inspection_id == c.id, sa.true() if is_final else sa.false()))
    if choice.verdict:
        query = query.where(sa.func.coalesce(d.verdict, c.verdict) == choice.verdict)
    if choice.is_unnamed:
        query = query.where(d.verdict.is_not(None), d.label.is_(None), c.verdict != Verdict.FAIL.value)
    if choice.class_:
        by_station = sa.and_(d.label.is_(None), c.label.in_([choice.class_, *accepted]))
        query = query.where(sa.or_(d.label == choice.class_, by_station))
        query = query.add_columns(
            d.label.label("human_label"), c.verdict, c.label, c.model_id, c.probabilities
        )
    if choice.pass_no:
        return query.order_by(c.taken_us, c.id)
    return query.order_by(_judged_at(choice).desc(), c.id.desc())


def _of_class(connection: sa.Connection, choice: Choice, zone: tzinfo, most: int) -> list[int]:
    """Return the first images of a class, as the report ``pareto`` counts it.

    Rows of older versions may name an accepted class, although a defect failed the image.
    """
    metadata = connection.execute(sa.select(model.c.id, model.c.metadata)).all()
    roles = {row.id: {known["name"]: known["role"] for known in row.metadata["classes"]} for row in metadata}
    accepted = {name for known in roles.values() for name, role in known.items() if role == "accept"}
    rows = connection.execution_options(yield_per=500).execute(_numbers(choice, zone, accepted))
    matching = (row.id for row in rows if _class_of(row, roles[row.model_id]) == choice.class_)
    return list(islice(matching, most))


def _conditions(choice: Choice, zone: tzinfo) -> list[sa.ColumnElement[bool]]:
    c = inspection.c
    first, last = instants(choice.since, choice.until, zone)
    wanted = [_judged_at(choice) >= first, _judged_at(choice) < last]
    named = {
        c.part: choice.part,
        c.seam: choice.seam,
        c.pass_no: choice.pass_no,
    }
    wanted += [column == value for column, value in named.items() if value is not None]
    if choice.station is not None:
        wanted.append(sites.chosen(choice.station))
    if choice.part:  # the index on parts begins with the station
        wanted.append(c.station_id.in_(sa.select(stations.c.id)))
    if choice.is_recent:
        newest = sa.select(sa.func.max(inspection.c.id)).scalar_subquery()
        wanted.append(c.id > newest - _MAX_SCANNED)
    if choice.hour:
        hour_us, _ = instants(choice.hour, None, zone)
        wanted += [c.seen_us >= hour_us, c.seen_us < hour_us + _HOUR_US]
    if choice.day and choice.by == "week":
        wanted += [c.local_day >= choice.day, c.local_day < _week_later(choice.day)]
    elif choice.day:
        wanted.append(
            (sa.func.coalesce(c.shift_day, c.local_day) if choice.shift else c.local_day) == choice.day
        )
    if choice.shift:
        wanted.append(c.shift == choice.shift)
    return wanted


def _judged_at(choice: Choice) -> sa.ColumnElement[int]:
    """Return the time of judgement; of a part, whose images are few, as a term without an index."""
    return inspection.c.inspected_us + 0 if choice.part else inspection.c.inspected_us


def _week_later(monday: str) -> str:
    try:
        return (date.fromisoformat(monday) + timedelta(days=7)).isoformat()
    except (ValueError, OverflowError):
        raise UsageError(f"day '{monday}' is not a date such as 2026-01-31") from None


def _class_of(row: Any, roles: Mapping[str, str]) -> str | None:
    """Return the class that an image counts for in the report ``pareto``."""
    if row.human_label is not None:
        return str(row.human_label)
    if row.verdict != Verdict.FAIL.value:
        return None
    if roles.get(row.label) != "accept":
        return str(row.label)
    defects = {name: share for name, share in row.probabilities.items() if roles.get(name) == "defect"}
    return min(defects, key=lambda name: (-defects[name], name), default=str(row.label))


def _shown(connection: sa.Connection, numbers: Sequence[int], person: str) -> list[Shown]:
    found: dict[int, Shown] = {}
    for some in database.batches(dict.fromkeys(numbers)):
        rows = connection.execute(_query(person).where(inspection.c.id.in_(some)))
        found |= {row.inspection: Shown(**row._mapping) for row in rows}
    return [found[number] for number in dict.fromkeys(numbers) if number in found]


def _query(person: str) -> sa.Select[Any]:
    """Return a query for the columns of :class:`Shown`."""
    c, latest = inspection.c, review.alias("latest")
    is_audited = sa.exists().where(audit_sample.c.inspection_id == c.id)
    decided = sa.exists().where(review.c.inspection_id == c.id, review.c.reviewer == person)
    newest = sa.select(sa.func.max(review.c.id)).where(review.c.inspection_id == c.id).correlate(inspection)
    plain = (
        "source_name",
        "sha256",
        "part",
        "seam",
        "pass_no",
        "taken_us",
        "inspected_us",
        "verdict",
        "label",
    )
    return (
        sa.select(
            c.id.label("inspection"),
            stations.c.name.label("station"),
            *(c[name] for name in (*plain, "confidence", "reason")),
            latest.c.reviewer,
            latest.c.verdict.label("human_verdict"),
            latest.c.label.label("human_label"),
            is_audited.label("is_audited"),
            sa.and_(is_audited, ~decided).label("is_blind"),
        )
        .join(stations, stations.c.id == c.station_id)
        .outerjoin(latest, latest.c.id == newest.scalar_subquery())
    )


def _whole(text: str, name: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 10 and int(text)):
        raise UsageError(f"{name} '{text}' is not a number from 1 on")
    return int(text)
