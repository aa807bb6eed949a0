"""Rows of a ledger's tables, and of its reports, for tests that count them again."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import URL

from inspector.ledger import database, schema
from inspector.reports.query import Report


def table(url: URL, name: str) -> list[Any]:
    """All rows of a table, by id, without the heat maps."""
    known = schema.metadata.tables[name]
    with database.reading(url) as engine, database.transaction(engine) as connection:
        return list(connection.execute(sa.select(known).order_by(known.c.id)))


def images(url: URL, **selection: Any) -> list[Any]:
    """The inspections of a period in microseconds, of a station or part."""
    first, last = selection.get("since_us", -(1 << 62)), selection.get("until_us", 1 << 62)
    return [
        row
        for row in table(url, "inspection")
        if first <= row.inspected_us < last
        and selection.get("part") in (None, row.part)
        and selection.get("station_id") in (None, row.station_id)
    ]


def latest(url: URL) -> dict[int, Any]:
    """The latest human verdict on each image."""
    return {row.inspection_id: row for row in table(url, "review")}


def by_column(report: Report) -> list[dict[str, Any]]:
    """The rows of a report as dictionaries from column to value."""
    return [dict(zip(report.columns, row, strict=True)) for row in report.rows]


def same(found: Any, expected: Any) -> None:
    """Compare values, and numbers to 12 digits."""
    if isinstance(expected, float):
        assert found == pytest.approx(expected, rel=1e-12, abs=1e-12)
    else:
        assert found == expected
