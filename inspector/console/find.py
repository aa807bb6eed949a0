"""Images by what people know of them: a number, a part, a seam, a file's name, or a hash."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import URL

from inspector.console import shown
from inspector.console.shown import Shown
from inspector.ledger import database
from inspector.ledger.schema import inspection, quarantine
from inspector.ledger.schema import station as stations

MAX_FOUND = 48
_MIN_HASH_DIGITS = 6
_MAX_SCANNED = 200_000  # the newest inspections, in which any part of a file name is searched: about 0.2 s


@dataclass(frozen=True, slots=True)
class Refused:
    """A quarantined file."""

    row: int
    station: str
    source_name: str
    reason: str
    detail: str
    quarantined_us: int


@dataclass(frozen=True, slots=True)
class Found:
    """What matches a search: images, the newest first, and quarantined files."""

    images: Sequence[Shown] = ()
    refused: Sequence[Refused] = ()


def find(url: URL | str, text: str, person: str, *, limit: int = MAX_FOUND) -> Found:
    """Return what matches a text: exactly first, else by its beginning, else anywhere in a recent name.

    A text of digits is an inspection number too. A part and a seam may be written as ``part/seam``.

    Args:
        url: the quality database.
        text: what people know of the image.
        person: who looks, see :func:`inspector.console.shown.by_number`.
        limit: the largest number of images, and of quarantined files.

    Raises:
        SchemaError: the database lacks the schema.
        StoreUnavailable: the server does not answer.
    """
    text = text.replace("\0", "").strip()
    if not text:
        return Found()
    with database.reading(url) as engine, database.transaction(engine) as connection:
        database.require_schema(connection)
        numbers: list[int] = []
        for conditions in (_exactly(text), _beginning(text)):
            for condition in conditions:
                numbers += _numbers(connection, condition, limit)
            if numbers:
                break
        if not numbers:
            numbers = _anywhere(connection, text, limit)
        refused = _refused(connection, text, limit)
    chosen = sorted(set(numbers), reverse=True)
    if _is_number(text) and int(text) in chosen:  # the one that was asked for by its number comes first
        chosen.remove(int(text))
        chosen.insert(0, int(text))
    return Found(shown.by_number(url, chosen[:limit], person), refused)


def _exactly(text: str) -> list[sa.ColumnElement[bool]]:
    c = inspection.c
    found = [c.source_name == text, c.part == text]
    if _is_number(text):
        found.append(c.id == int(text))
    if len(text) == 64 and _is_hash(text):
        every = sa.select(stations.c.id)  # the index of first images begins with the station
        firsts = sa.select(c.id).where(
            c.station_id.in_(every), c.sha256 == text.lower(), c.duplicate_of.is_(None)
        )
        found += [c.id.in_(firsts), c.duplicate_of.in_(firsts)]
    part, slash, seam = text.rpartition("/")
    if slash:
        found.append(sa.and_(c.part == part.strip(), c.seam == seam.strip()))
    return found


def _beginning(text: str) -> list[sa.ColumnElement[bool]]:
    c = inspection.c
    found = [_begins(c.source_name, text), sa.and_(c.part.is_not(None), _begins(c.part, text))]
    if len(text) >= _MIN_HASH_DIGITS and _is_hash(text):
        first = c.duplicate_of.is_(None)  # the index has the first image of each content
        found.append(sa.and_(first, _begins(c.sha256, text.lower())))
    return found


def _begins(column: sa.ColumnElement[str], text: str) -> sa.ColumnElement[bool]:
    """Return a condition that an index can answer on both back ends, with any characters in the text."""
    return sa.and_(column >= text, column < text + "\U0010ffff")


def _numbers(connection: sa.Connection, condition: sa.ColumnElement[bool], limit: int) -> list[int]:
    every = inspection.c.station_id.in_(sa.select(stations.c.id))  # the indexes begin with the station
    query = sa.select(inspection.c.id).where(every, condition).order_by(inspection.c.id.desc()).limit(limit)
    return list(connection.scalars(query))


def _anywhere(connection: sa.Connection, text: str, limit: int) -> list[int]:
    c = inspection.c
    newest = connection.scalar(sa.select(sa.func.max(c.id))) or 0
    wanted = (c.source_name, c.part, c.seam)
    matching = sa.or_(*(column.icontains(text, autoescape=True) for column in wanted))
    query = sa.select(c.id).where(c.id > newest - _MAX_SCANNED, matching).order_by(c.id.desc()).limit(limit)
    return list(connection.scalars(query))


def _refused(connection: sa.Connection, text: str, limit: int) -> list[Refused]:
    q = quarantine.c
    wanted: list[Any] = [q.source_name.icontains(text, autoescape=True)]
    if len(text) >= _MIN_HASH_DIGITS and _is_hash(text):
        wanted.append(_begins(q.sha256, text.lower()))
    query = (
        sa.select(q.id, stations.c.name, q.source_name, q.reason, q.detail, q.quarantined_us)
        .join(stations, stations.c.id == q.station_id)
        .where(sa.or_(*wanted))
        .order_by(q.id.desc())
        .limit(limit)
    )
    return [Refused(*row) for row in connection.execute(query)]


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 19


def _is_hash(text: str) -> bool:
    return all(character in "0123456789abcdefABCDEF" for character in text)
