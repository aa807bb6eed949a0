"""The central database, an ordinary quality database on PostgreSQL, and a station's turn at it.

Rows, the position behind them and their number come in one transaction. A lock lets only one forwarder of a
station have its turn at a time. Nothing outlives a transaction, so PgBouncer may share the connections.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import URL

from inspector.forwarding import copying
from inspector.forwarding.copying import Numbers, Row
from inspector.forwarding.own import Batch
from inspector.ledger import changes, database, forwarded, schema
from inspector.ledger.forwarded import INSTANTS, Latest, Positions

FIRST_REVISION = "0012"  # that of version 1.0.0, since stations are upgraded before their centre
VERDICTS = (schema.review, schema.seam_review)
REQUESTS = schema.thumbnail_request
_ROWS_BACK = database.MAX_IDS_PER_QUERY
_REQUESTS_AT_ONCE = 20  # 0.4 MB of pictures; a person sees the first ones meanwhile


@dataclass(frozen=True, slots=True)
class Turn:
    """A transaction that no other forwarder of the station disturbs.

    Attributes:
        connection: of the transaction.
        station_id: number of the station at the centre.
        latest: how far the station is.
        now_us: the centre's clock, UTC epoch microseconds.
    """

    connection: sa.Connection
    station_id: int
    latest: Latest
    now_us: int


class Centre:
    """The central database for one station.

    Args:
        url: PostgreSQL.
        station: name of the station.

    Attributes:
        columns: table name → columns that this database has.
    """

    def __init__(self, url: URL, station: str) -> None:
        self._url = url
        self._station = station
        self.columns: dict[str, set[str]] = {}

    def open(self) -> None:
        """Connect, also in place of a connection that was closed, and make sure that a station can forward.

        A centre with the schema of the release before is taken, or with one revision more than this
        program's, so that the two need not be upgraded at once.

        Raises:
            SchemaError: it has no schema, or one that is older or newer than these.
            StoreUnavailable: the server does not answer.
        """
        self._engine = database.engine(self._url)
        with database.transaction(self._engine) as connection:
            database.require_neighbour(connection, first=FIRST_REVISION)
            self.columns = _columns(connection)

    def close(self) -> None:
        """Close the connections, if there are any."""
        if hasattr(self, "_engine"):
            self._engine.dispose()

    def missing_rights(self) -> list[str]:
        """Return the tables to which this account may not add rows, though it forwards to them."""
        others = (schema.station, schema.model, schema.settings, schema.forwarded, schema.thumbnail)
        names = [table.name for table in (*others, *INSTANTS) if table.name in self.columns]
        with database.transaction(self._engine) as connection:
            may = connection.execute(sa.select(*(sa.func.has_table_privilege(it, "INSERT") for it in names)))
            return [name for name, has in zip(names, may.one(), strict=True) if not has]

    def latest(self) -> Latest:
        """Return how far the station is."""
        with database.transaction(self._engine) as connection:
            station_id = connection.scalar(self._number())
            return Latest() if station_id is None else forwarded.latest(connection, station_id)

    @contextmanager
    def turn(self, first_opened_us: int) -> Iterator[Turn]:
        """Begin a turn, and commit it at the end.

        Args:
            first_opened_us: when the station first opened its own ledger, for its first turn.
        """
        with database.transaction(self._engine) as connection:
            station_id = connection.scalar(self._number())
            if station_id is None:
                row = {"name": self._station, "first_opened_us": first_opened_us}
                copying.insert(connection, schema.station, [row])
                station_id = connection.execute(self._number()).scalar_one()
            lock = sa.func.pg_advisory_xact_lock(changes.FORWARDER_LOCK, sa.cast(station_id, sa.Integer))
            connection.execute(sa.select(lock))
            seconds = sa.extract("epoch", sa.func.clock_timestamp())
            now_us = connection.execute(sa.select(sa.cast(seconds * 1_000_000, sa.BigInteger))).scalar_one()
            yield Turn(connection, station_id, forwarded.latest(connection, station_id), now_us)

    def _number(self) -> sa.Select[Any]:
        return sa.select(schema.station.c.id).where(schema.station.c.name == self._station)

    # --- to the centre ----------------------------------------------------------------------------------

    def add(self, turn: Turn, batch: Batch) -> tuple[Positions, int]:
        """Add the rows of a batch in the order of their numbers.

        A table's rows end before one that refers to a row that is not here yet.

        Returns:
            The positions behind the rows, and how many these are without verdicts from here.
        """
        connection, station_id = turn.connection, turn.station_id
        numbers: Numbers = {"station": _Always(station_id)}
        for table in (schema.model, schema.settings):
            numbers[table.name] = self._with_rows(connection, table, batch.whole[table.name])
        for table in (schema.inspection, schema.quarantine):
            numbers[table.name] = copying.known(connection, table, station_id, batch.keys[table.name])
        positions, sent = dict(batch.positions), 0
        for table, instant in INSTANTS.items():
            rows = batch.rows.get(table.name, [])
            new: dict[int, int] = {}
            if table.name in batch.keys:
                fresh = [row["id"] for row in rows if row["id"] not in numbers[table.name]]
                new = dict(zip(fresh, copying.new_numbers(connection, table, len(fresh)), strict=True))
                numbers[table.name] |= new
            ready = copying.leading(rows, table, numbers)
            if not ready:
                continue
            copying.insert(connection, table, list(self._copies(ready, table, numbers, new)))
            positions[table.name] = [ready[-1]["id"], ready[-1][instant]]
            sent += sum(row.get("origin_row") is None for row in ready)
        return positions, sent

    def _with_rows(self, connection: sa.Connection, table: sa.Table, rows: dict[int, Row]) -> dict[int, int]:
        """Return the numbers of artifacts or settings; add those that are not here."""
        numbers = copying.known(connection, table, 0, rows)
        if missing := [row for number, row in rows.items() if number not in numbers]:
            columns = self.columns[table.name]
            copying.insert(
                connection, table, [copying.translated(row, table, {}, columns) for row in missing]
            )
            numbers = copying.known(connection, table, 0, rows)
        return numbers

    def _copies(
        self, rows: list[Row], table: sa.Table, numbers: Numbers, new: dict[int, int]
    ) -> Iterator[Row]:
        """Yield the rows as they are here, without those that are here already or came from here."""
        columns = self.columns[table.name]
        for row in rows:
            copy = copying.translated(row, table, numbers, columns)
            if table.name in numbers:  # a row that others refer to
                if row["id"] in new:
                    yield copy | {"id": new[row["id"]]}
            elif "origin_row" not in columns:
                yield copy
            elif row["origin_row"] is None:
                yield copy | {"origin_row": row["id"]} | self._request_key(row)

    def _request_key(self, row: Row) -> Row:
        if "request_key" not in row:
            return {}
        return {"request_key": row["request_key"] or f"{self._station}:{row['reviewed_us']}:{row['id']}"}

    def note(self, turn: Turn, latest: Latest) -> None:
        """Write down how far the station is."""
        forwarded.note(turn.connection, turn.station_id, latest)

    # --- from the centre --------------------------------------------------------------------------------

    def newest(self) -> dict[str, int]:
        """Return the newest verdict and the newest request of each table whose predecessors are all there."""
        tables = [table for table in (*VERDICTS, REQUESTS) if table.name in self.columns]
        return changes.settled(self._engine, tables)

    def verdicts(self, table: sa.Table, after: int, upto: int) -> list[tuple[Row, Row]]:
        """Return verdicts on the station's images that were made here, each with name and hash of its image.

        Their columns are those of the station's ledger, without the image. Their number here becomes that of
        the row that they come from.
        """
        i, there = schema.inspection.c, self.columns[table.name]
        columns = [column for column in table.c if column.name in there and column.name != "inspection_id"]
        query = (
            sa.select(*columns, i.source_name, i.sha256)
            .join(schema.inspection, i.id == table.c.inspection_id)
            .join(schema.station, schema.station.c.id == i.station_id)
            .where(table.c.id > after, table.c.id <= upto, table.c.origin_row.is_(None))
            .where(schema.station.c.name == self._station)
            .order_by(table.c.id)
            .limit(_ROWS_BACK)
        )
        with database.transaction(self._engine) as connection:
            return [self._back(dict(row), table) for row in connection.execute(query).mappings()]

    def requests(self, after: int, upto: int) -> list[sa.Row[Any]]:
        """Return the next requests for pictures of the station's images that have no answer.

        Each has ``id``, ``inspection_id``, ``source_name`` and ``sha256``.
        """
        i, r, t = schema.inspection.c, REQUESTS.c, schema.thumbnail.c
        query = (
            sa.select(r.id, r.inspection_id, i.source_name, i.sha256)
            .join(schema.inspection, i.id == r.inspection_id)
            .join(schema.station, schema.station.c.id == i.station_id)
            .where(r.id > after, r.id <= upto, schema.station.c.name == self._station)
            .where(~sa.exists().where(t.inspection_id == r.inspection_id))
            .order_by(r.id)
            .limit(_REQUESTS_AT_ONCE)
        )
        with database.transaction(self._engine) as connection:
            return list(connection.execute(query))

    def answer(self, rows: list[Row]) -> None:
        """Add small pictures, or the reasons why there are none; those that are there stay."""
        with database.transaction(self._engine) as connection:
            copying.insert(connection, schema.thumbnail, rows)

    @staticmethod
    def _back(row: Row, table: sa.Table) -> tuple[Row, Row]:
        image = {name: row.pop(name) for name in ("source_name", "sha256")}
        number = row.pop("id")
        key = row["request_key"] or f"centre:{row['reviewed_us']}:{number}"
        return row | {"origin_row": number, "request_key": key}, image


class _Always(dict[int, int]):
    """The number of the only station whose rows are sent, whatever number it has there."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self._number = number

    def __contains__(self, key: object) -> bool:
        return True

    def __getitem__(self, key: int) -> int:
        return self._number


def _columns(connection: sa.Connection) -> dict[str, set[str]]:
    """Return the columns of each table of this database."""
    query = sa.text(
        "SELECT relname, attname FROM pg_attribute JOIN pg_class c ON c.oid = attrelid"
        " WHERE c.oid = to_regclass(relname) AND relkind IN ('r', 'p') AND attnum > 0 AND NOT attisdropped"
    )
    found: dict[str, set[str]] = {}
    for table, column in connection.execute(query):
        found.setdefault(table, set()).add(column)
    return found
