"""Rows of one database as rows of another, in which everything has other numbers.

A row is found again by its key: an image by station, name and hash, an artifact by its hash. Numbers would
not do. A database that comes back from a backup uses them again for other rows, which would be lost without a
word. Reviews and events have no key of their own; theirs is the number together with the time.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterable, Mapping
from itertools import takewhile
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY

from inspector.ledger import schema, statements

Row = dict[str, Any]
Numbers = dict[str, dict[int, int]]  # table name → number there → number here


def key_of(table: sa.Table) -> list[str]:
    """Return the names of the columns that no two rows of the table share, beside the number."""
    [key] = schema.unique_keys(table)
    return [column.name for column in key]


def references(table: sa.Table) -> dict[str, str]:
    """Return each column that refers to a table, with the name of that table."""
    return {c.name: foreign.column.table.name for c in table.columns for foreign in c.foreign_keys}


def referred(rows: Iterable[Row], table: sa.Table, to: str) -> set[int]:
    """Return the numbers of the rows of table ``to`` that these rows refer to."""
    names = [name for name, target in references(table).items() if target == to]
    return {row[name] for row in rows for name in names if row[name] is not None}


def known(
    connection: sa.Connection, table: sa.Table, station_id: int, keys: Mapping[int, Row]
) -> dict[int, int]:
    """Return for each number there the number here, if a row with the key is here.

    Args:
        connection: to a PostgreSQL database.
        table: table of the rows.
        station_id: number of their station here.
        keys: number there → columns of the key.
    """
    if not keys:
        return {}
    names = [name for name in key_of(table) if name != "station_id"]
    values = [list(keys), *([key[name] for key in keys.values()] for name in names)]
    arrays = [
        sa.cast(list_, ARRAY(sa.Text if isinstance(list_[0], str) else sa.BigInteger)) for list_ in values
    ]
    wanted = sa.func.unnest(*arrays).table_valued("there", *names, name="wanted").render_derived()
    query = sa.select(wanted.c.there, table.c.id).where(*(table.c[name] == wanted.c[name] for name in names))
    if "station_id" in table.c:
        query = query.where(table.c.station_id == station_id)
    return {row.there: row.id for row in connection.execute(query)}


def new_numbers(connection: sa.Connection, table: sa.Table, count: int) -> list[int]:
    """Lock a table as an INSERT does, and take numbers for new rows of it, in ascending order.

    :func:`inspector.ledger.changes.settled` knows by the lock that rows with these numbers may still come.
    The INSERT itself takes it too late, after the numbers.
    """
    connection.exec_driver_sql(f"LOCK TABLE {table.name} IN ROW EXCLUSIVE MODE")
    of_table = sa.func.pg_get_serial_sequence(table.name, "id")
    series = sa.func.generate_series(1, count).table_valued("place").render_derived()
    query = sa.select(sa.func.nextval(sa.cast(of_table, sa.dialects.postgresql.REGCLASS))).select_from(series)
    return sorted(connection.scalars(query))


def leading(rows: Iterable[Row], table: sa.Table, numbers: Numbers) -> list[Row]:
    """Return the rows up to the first one that refers to a row that is not here yet."""
    to = references(table)

    def is_complete(row: Row) -> bool:
        return all(row[name] is None or row[name] in numbers[target] for name, target in to.items())

    return list(takewhile(is_complete, rows))


def translated(row: Row, table: sa.Table, numbers: Numbers, columns: Collection[str]) -> Row:
    """Return the columns of the row here, without its number."""
    to = references(table)
    return {
        name: value if value is None or name not in to else numbers[to[name]][value]
        for name, value in row.items()
        if name != "id" and name in columns
    }


def insert(connection: sa.Connection, table: sa.Table, rows: list[Row]) -> None:
    """Add the rows whose key is not here, in their order; all have the same columns.

    On PostgreSQL they are one value of one statement. Without prepared statements, which a pooler may forbid,
    a statement for each row takes the server several times as long.
    """
    if not rows:
        return
    insert = statements.insert_new(connection.dialect.name, table)
    if connection.dialect.name != "postgresql":
        connection.execute(insert, rows)
        return
    names = ", ".join(rows[0])
    as_rows = f"json_populate_recordset(CAST(NULL AS {table.name}), CAST(:rows AS json))"
    query = sa.text(f"SELECT {names} FROM {as_rows}").columns(*(table.c[name] for name in rows[0]))  # noqa: S608
    connection.execute(insert.from_select(list(rows[0]), query), {"rows": _json(rows)})


def _json(rows: list[Row]) -> str:
    return json.dumps([{name: _json_value(value) for name, value in row.items()} for row in rows])


def _json_value(value: Any) -> Any:
    if isinstance(value, bytes):
        return rf"\x{value.hex()}"
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)  # JSON has no such numbers, and PostgreSQL reads text
    return value
