"""Thousands of rows in one transaction, each once; rows that are there are passed over."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from inspector.ledger import statements

if TYPE_CHECKING:
    import psycopg

_FEWEST_TO_COPY: Final = 50  # rows; for fewer, to make the temporary table takes longer than it saves


def add_new(connection: sa.Connection, table: sa.Table, rows: Sequence[statements.Row]) -> None:
    """Add those rows whose key is not there, in the transaction of the connection.

    PostgreSQL copies many rows into a temporary table first, and adds them by one statement. An INSERT for
    each costs several times as much, and the ledger of a large rejudgement would be its bottleneck.

    Args:
        connection: an open transaction.
        table: has one unique key beside the number of the row.
        rows: all with the same columns.
    """
    insert = statements.insert_new(connection.dialect.name, table)
    if len(rows) < _FEWEST_TO_COPY or not _can_stage(connection):
        connection.execute(insert, rows)
        return
    names = list(rows[0])
    columns = [table.c[name] for name in names]
    staged = sa.table(f"staged_{table.name}", *(sa.column(name) for name in names))
    like = sa.select(*columns).compile(dialect=connection.dialect)
    connection.exec_driver_sql(f"CREATE TEMPORARY TABLE {staged.name} ON COMMIT DROP AS {like} WITH NO DATA")
    _copy(connection, staged.name, columns, rows)
    connection.execute(insert.from_select(names, sa.select(*staged.c)))


def _can_stage(connection: sa.Connection) -> bool:
    """Whether it is PostgreSQL, and this user may make temporary tables, as all may by default."""
    if connection.dialect.name != "postgresql":
        return False
    may = sa.func.has_database_privilege(sa.func.current_database(), "TEMPORARY")
    return bool(connection.scalar(sa.select(may)))


def _copy(
    connection: sa.Connection, name: str, columns: Sequence[sa.Column[Any]], rows: Sequence[statements.Row]
) -> None:
    driver: psycopg.Connection[Any] = connection.connection.driver_connection  # type: ignore[assignment]
    names = ", ".join(column.name for column in columns)
    is_json = [isinstance(column.type, sa.JSON) for column in columns]
    try:
        with driver.cursor() as cursor, cursor.copy(f"COPY {name} ({names}) FROM STDIN") as copy:
            for row in rows:
                values = (row[column.name] for column in columns)
                copy.write_row(
                    [
                        json.dumps(value) if as_json and value is not None else value
                        for value, as_json in zip(values, is_json, strict=True)
                    ]
                )
    except driver.Error as error:  # SQLAlchemy sees its own statements' errors only
        raise sa.exc.OperationalError(f"COPY {name}", None, error) from error
