"""Blind looks: what stays hidden of an audit sample until a person has decided, and second readers."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable
from typing import Any, Final

import sqlalchemy as sa

from inspector.ledger import database
from inspector.ledger.schema import audit_sample, inspection, review
from inspector.reports.query import Report

# The columns of the report review_queue that say what the station found; the archive's folders are verdicts.
_ANSWERS: Final = ("verdict", "label", "confidence", "reason", "archive_path")


def audited(connection: sa.Connection, inspections: Iterable[int]) -> set[int]:
    """Those of the images that are in an audit sample."""
    column = audit_sample.c.inspection_id
    return {
        number
        for some in database.batches(inspections)
        for number in connection.scalars(sa.select(column).where(column.in_(some)))
    }


def hidden(connection: sa.Connection, inspections: Iterable[int], person: str) -> set[int]:
    """The images of which a person may not see the station's verdict, nor that of another person.

    They are in an audit sample, and this person has not decided yet.
    """
    found: set[int] = set()
    decided = sa.exists().where(
        review.c.inspection_id == audit_sample.c.inspection_id, review.c.reviewer == person
    )
    for some in database.batches(inspections):
        query = sa.select(audit_sample.c.inspection_id).where(
            audit_sample.c.inspection_id.in_(some), ~decided
        )
        found.update(connection.scalars(query))
    return found


def without_answers(connection: sa.Connection, queue: Report, person: str) -> Report:
    """Return the report ``review_queue`` without what a person may not see yet; see :func:`hidden`."""
    number = queue.columns.index("id")
    unseen = hidden(connection, [row[number] for row in queue.rows], person)

    def shown(row: tuple[Any, ...]) -> tuple[Any, ...]:
        if row[number] not in unseen:
            return row
        named = zip(queue.columns, row, strict=True)
        return tuple(None if name in _ANSWERS else value for name, value in named)

    return dataclasses.replace(queue, rows=[shown(row) for row in queue.rows])


def second_looks(
    connection: sa.Connection, share: float, *, part: str | None, limit: int
) -> list[tuple[int, str]]:
    """The images of audit samples that wait for a second reader, each with the first one; oldest first.

    The number of the image decides whether it is in the share, so nobody can choose.
    """
    first = sa.func.min(review.c.id)
    query: sa.Select[Any] = (
        sa.select(audit_sample.c.inspection_id, sa.func.min(review.c.reviewer))
        .join(review, review.c.inspection_id == audit_sample.c.inspection_id)
        .join(inspection, inspection.c.id == audit_sample.c.inspection_id)
        .group_by(audit_sample.c.inspection_id)
        .having(sa.func.count(review.c.reviewer.distinct()) == 1)
        .order_by(first)
    )
    if part is not None:
        query = query.where(inspection.c.part == part)
    chosen = (
        (number, reader) for number, reader in connection.execute(query) if is_read_twice(number, share)
    )
    return [found for found, _ in zip(chosen, range(limit), strict=False)]


def is_read_twice(number: int, share: float) -> bool:
    """Whether an image of an audit sample is among the share that two people read."""
    digest = hashlib.sha256(f"second reader {number}".encode()).digest()
    return int.from_bytes(digest[:4]) < share * 2**32
