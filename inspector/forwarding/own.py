"""The station's own ledger, as its forwarder reads it; verdicts from the centre are all that it adds."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

import sqlalchemy as sa
from sqlalchemy.engine import URL

from inspector.forwarding import copying
from inspector.forwarding.copying import Row
from inspector.ledger import changes, database, forwarded, schema
from inspector.ledger.forwarded import INSTANTS, Latest, Positions

# Of each table in a batch: milliseconds of a transaction, some MB of memory
_ROWS = database.MAX_IDS_PER_QUERY


@dataclass(frozen=True, slots=True)
class Batch:
    """The next rows of a station, and what is needed to find the rows that they refer to.

    Attributes:
        positions: where the batch begins.
        rows: table name → rows in the order of their numbers.
        whole: rows of ``model`` and ``settings`` that they refer to, by their numbers.
        keys: table name → number → key of each image and quarantined file that they refer to or are.
    """

    positions: Positions
    rows: dict[str, list[Row]]
    whole: dict[str, dict[int, Row]] = field(default_factory=dict)
    keys: dict[str, dict[int, Row]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ArchivedImage:
    """An image in the station's archive.

    Attributes:
        path: in the archive folder.
        sha256: hash of the bytes that were judged.
        bit_depth: significant bits of a 16-bit frame, by the artifact that judged it.
    """

    path: str
    sha256: str
    bit_depth: int


class Own:
    """The ledger of a station.

    Args:
        url: SQLite or PostgreSQL.
        station: name of the station.
    """

    def __init__(self, url: URL, station: str) -> None:
        self.station = station
        self._url = url
        self._id = self.first_opened_us = 0

    def open(self) -> None:
        """Open the ledger, also in place of one that was closed.

        Raises:
            SchemaError: the schema is missing, old or newer.
            StoreUnavailable: the server does not answer.
            UsageError: the file is not writable, or the driver is not installed.
        """
        self._engine = database.engine(self._url)
        with database.transaction(self._engine) as connection:
            database.require_schema(connection)

    def close(self) -> None:
        """Close the connections, if there are any."""
        if hasattr(self, "_engine"):
            self._engine.dispose()

    def has_station(self) -> bool:
        """Return whether the station has opened this ledger, and note its number."""
        s = schema.station.c
        with database.transaction(self._engine) as connection:
            row = connection.execute(sa.select(s.id, s.first_opened_us).where(s.name == self.station)).first()
        self._id, self.first_opened_us = row or (0, 0)
        return row is not None

    # --- what waits -------------------------------------------------------------------------------------

    def has(self, positions: Positions) -> bool:
        """Return whether the rows of these positions are there; not so in another or an older ledger."""
        tables = {table.name: (table, instant) for table, instant in INSTANTS.items()}
        with database.transaction(self._engine) as connection:
            for name, (number, at_us) in positions.items():
                if name not in tables:  # a newer program sent it
                    continue
                table, instant = tables[name]
                if connection.scalar(sa.select(table.c[instant]).where(table.c.id == number)) != at_us:
                    return False
        return True

    def waiting(self, positions: Positions) -> int:
        """Return how many rows wait."""
        with database.transaction(self._engine) as connection:
            return forwarded.waiting(connection, self._id, positions)[0]

    def batch(self, positions: Positions, tables: Collection[str]) -> Batch:
        """Read the next rows of these tables, a limited number of each."""
        newest = changes.settled(self._engine, list(INSTANTS))
        with database.transaction(self._engine) as connection:
            rows = {
                table.name: self._next(connection, table, positions, newest[table.name])
                for table in INSTANTS
                if table.name in tables
            }
            batch = Batch(positions, rows)
            for table in (schema.model, schema.settings):
                batch.whole[table.name] = _by_number(connection, table, self._referred(rows, table))
            for table in (schema.inspection, schema.quarantine):
                own = {row["id"] for row in rows.get(table.name, ())}
                numbers = self._referred(rows, table) | own
                batch.keys[table.name] = _by_number(connection, table, numbers, copying.key_of(table))
        return batch

    def _next(
        self, connection: sa.Connection, table: sa.Table, positions: Positions, newest: int
    ) -> list[Row]:
        query = forwarded.after(table, self._id, positions).where(table.c.id <= newest)
        return [dict(row) for row in connection.execute(query.order_by(table.c.id).limit(_ROWS)).mappings()]

    @staticmethod
    def _referred(rows: dict[str, list[Row]], to: sa.Table) -> set[int]:
        of_each = (copying.referred(rows.get(table.name, ()), table, to.name) for table in INSTANTS)
        return set().union(*of_each)

    # --- what is asked for ------------------------------------------------------------------------------

    def image(self, source_name: str, sha256: str) -> ArchivedImage | None:
        """Return an image by its name and hash; None if it is not here."""
        i, m = schema.inspection.c, schema.model.c
        query = (
            sa.select(i.archive_path, i.sha256, m.metadata)
            .join(schema.model, m.id == i.model_id)
            .where(i.station_id == self._id, i.source_name == source_name, i.sha256 == sha256)
        )
        with database.transaction(self._engine) as connection:
            row = connection.execute(query).first()
        return row and ArchivedImage(row.archive_path, row.sha256, row.metadata.get("bit_depth", 8))

    # --- what is added ----------------------------------------------------------------------------------

    def note(self, latest: Latest) -> None:
        """Write down how far the station is, for its status and its metrics."""
        with database.transaction(database.immediate(self._engine)) as connection:
            forwarded.note(connection, self._id, latest)

    def add_verdicts(self, table: sa.Table, rows: Iterable[tuple[Row, Row]]) -> int:
        """Add verdicts from the centre that are not here; return how many of their images are not here.

        Args:
            table: ``review`` or ``seam_review``.
            rows: each verdict, with name and hash of its image.
        """
        missing, found = 0, []
        i = schema.inspection.c
        with database.transaction(database.immediate(self._engine)) as connection:
            for row, image in rows:
                of_image = (i.source_name == image["source_name"], i.sha256 == image["sha256"])
                number = connection.scalar(sa.select(i.id).where(i.station_id == self._id, *of_image))
                missing += number is None
                if number is not None:
                    found.append(row | {"inspection_id": number})
            copying.insert(connection, table, found)
        return missing


def _by_number(
    connection: sa.Connection, table: sa.Table, numbers: Collection[int], names: Collection[str] | None = None
) -> dict[int, Row]:
    """Return rows of a table by their numbers, with all columns or some."""
    columns = list(table.c) if names is None else [table.c.id, *(table.c[name] for name in names)]
    found: dict[int, Row] = {}
    for some in database.batches(sorted(numbers)):
        for row in connection.execute(sa.select(*columns).where(table.c.id.in_(some))).mappings():
            found[row["id"]] = dict(row)
    return found
