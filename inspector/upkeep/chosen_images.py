"""The images of the ledger that another artifact is to judge, page by page, and what is known of each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from inspector.ledger import database
from inspector.ledger.schema import arrival, inspection, rejudgement
from inspector.ledger.schema import station as stations
from inspector.records import InForce, Outcome, Verdict

_IMAGES_PER_PAGE: Final = database.MAX_IDS_PER_QUERY  # a page's transaction takes tens of milliseconds
_NUMBERS_PER_QUERY: Final = 5000


@dataclass(frozen=True, slots=True)
class Chosen:
    """The images to judge: a period of judgement as :func:`inspector.times.instants` gives it, and more."""

    period: tuple[int, int]
    verdict: Verdict | None = None  # the station's
    part: str | None = None
    limit: int | None = None  # so many images at most, the oldest first


def waiting(station: str, chosen: Chosen, in_force: InForce, *, by_number: bool = False) -> sa.Select[Any]:
    """Return a query for the chosen images without a row of this artifact.

    With ``by_number`` it uses no index on the station or the time: to read a range of numbers SQLite would
    go through the whole period.
    """
    c = inspection.c
    here = sa.select(stations.c.id).where(stations.c.name == station).scalar_subquery()
    station_id, at = (column + 0 if by_number else column for column in (c.station_id, c.inspected_us))
    query = sa.select(c.id, c.sha256, c.archive_path, c.source_name, c.verdict).where(
        station_id == here, at >= chosen.period[0], at < chosen.period[1], ~_has_row(in_force)
    )
    if chosen.verdict:
        query = query.where(c.verdict == chosen.verdict.value)
    return query.where(c.part == chosen.part) if chosen.part else query


def extent(readers: sa.Engine, query: sa.Select[Any]) -> tuple[int, range]:
    """Return how many images there are, and the numbers among which they are."""
    number = inspection.c.id
    counted = query.with_only_columns(sa.func.count(), sa.func.min(number), sa.func.max(number))
    with database.transaction(readers) as connection:
        count, first, last = connection.execute(counted).one()
    return count, range(first, last + 1) if count else range(0)


def pages(readers: sa.Engine, query: sa.Select[Any], numbers: range, most: int) -> Iterator[Sequence[Any]]:
    """Yield at most so many images in the order of their numbers; a few thousand at a time are in memory."""
    number, rows = inspection.c.id, list[Any]()
    for start in numbers[::_NUMBERS_PER_QUERY]:
        some = query.where(number >= start, number < start + _NUMBERS_PER_QUERY, number < numbers.stop)
        with database.transaction(readers) as connection:
            rows += connection.execute(some.order_by(number)).all()[: most - len(rows)]
        while len(rows) >= _IMAGES_PER_PAGE:
            yield rows[:_IMAGES_PER_PAGE]
            most -= _IMAGES_PER_PAGE
            del rows[:_IMAGES_PER_PAGE]
        if len(rows) == most:
            break
    if rows:
        yield rows


def unanswered(readers: sa.Engine, in_force: InForce, numbers: Sequence[int]) -> dict[int, Any]:
    """Return hash, name and verdict of those images, by number, that have no row of this artifact yet."""
    c = inspection.c
    query = sa.select(c.id, c.sha256, c.source_name, c.verdict).where(c.id.in_(numbers), ~_has_row(in_force))
    with database.transaction(readers) as connection:
        return {row.id: row for row in connection.execute(query)}


def pruned(readers: sa.Engine, station: str, paths: Sequence[str]) -> set[str]:
    """Return those of the paths whose file the station has removed."""
    a = arrival.c
    here = sa.select(stations.c.id).where(stations.c.name == station).scalar_subquery()
    query = sa.select(a.path).where(
        a.station_id == here, a.path.in_(paths), a.outcome == Outcome.PRUNED, a.inspection_id.is_not(None)
    )
    with database.transaction(readers) as connection:
        return set(connection.scalars(query))


def _has_row(in_force: InForce) -> sa.Exists:
    return sa.exists().where(
        rejudgement.c.inspection_id == inspection.c.id, rejudgement.c.model_id == in_force.model_id
    )
