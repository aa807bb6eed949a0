"""The objects and rows of a database, for tests of its schema."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import URL

from inspector.ledger import database

_CATALOGUE = {  # all objects of a schema, as the server itself describes them
    "sqlite": ["SELECT type, name, tbl_name, sql FROM sqlite_master WHERE name <> 'alembic_version'"],
    "postgresql": [
        "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint"
        " WHERE connamespace = 'public'::regnamespace",
        "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'",
        "SELECT a.attrelid::regclass::text, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,"
        " a.attidentity, a.attcollation::regcollation::text, col_description(a.attrelid, a.attnum)"
        " FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid"
        " WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND a.attnum > 0",
        "SELECT relname, obj_description(oid, 'pg_class') FROM pg_class"
        " WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'v')",
        "SELECT viewname, definition FROM pg_views WHERE schemaname = 'public'",
        "SELECT tgrelid::regclass::text, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal",
        "SELECT proname, prosrc FROM pg_proc WHERE pronamespace = 'public'::regnamespace",
    ],
}


def catalogue(url: URL) -> set[str]:
    """Return the objects of the database, one line each, without Alembic's own table."""
    engine = database.engine(url)
    with engine.begin() as connection:
        found = [
            row for query in _CATALOGUE[url.get_backend_name()] for row in connection.exec_driver_sql(query)
        ]
    engine.dispose()
    return {
        " ".join(" ".join(str(cell) for cell in row).replace(", ", ",").split())
        for row in found
        if "alembic_version" not in str(tuple(row))
    }


def change(url: URL, work: Callable[[sa.Connection], Any]) -> None:
    """Change the database in one transaction."""
    engine = database.immediate(database.engine(url, create=True))
    try:
        with database.transaction(engine) as connection:
            work(connection)
    finally:
        engine.dispose()


def rows_of(url: URL, query: str) -> list[Any]:
    """Return the rows of a query."""
    with database.reading(url) as engine, engine.begin() as connection:
        return list(connection.execute(sa.text(query)))


def row_counts(url: URL) -> tuple[int, int, int]:
    """Return the numbers of inspections, quarantined files and arrivals."""
    tables = ("inspection", "quarantine", "arrival")
    inspections, quarantined, arrivals = (len(rows_of(url, f"SELECT id FROM {name}")) for name in tables)
    return inspections, quarantined, arrivals
