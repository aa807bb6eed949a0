"""The ledger: the only module that writes history to the quality database.

Rows are only ever added. A batch is one transaction, and sending it again after a lost answer changes
nothing. ``pass_no`` and ``duplicate_of`` are computed inside the INSERT by look-ups with an index, so that a
row costs the same in a large table as in an empty one. The module is long, because every write is here.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

import sqlalchemy as sa
from sqlalchemy.engine import URL

from inspector.errors import RowOutdated, RowRefused, StoreRefused, StoreUnavailable
from inspector.ledger import bulk, database, schema, statements
from inspector.records import (
    Duplicate,
    InForce,
    Inspected,
    Known,
    Outcome,
    Place,
    Quarantined,
    RecordedFile,
    Rejudgement,
    Review,
    SeamReview,
    SignalNote,
)

log = logging.getLogger("weldnet")

_MAX_TABLE_LOCK_WAIT_S = 10  # a batch holds its locks for milliseconds; a long report is to be ended first
_MIGRATION_LOCK_ID = 0x57454C44  # "WELD": PostgreSQL's advisory lock, held by one migrating station at a time


def migrate(url: URL | str) -> None:
    """Create the schema, or upgrade it to this program's revision, in one transaction.

    Raises:
        SchemaError: the schema is newer than this program, or the file is no database.
        StoreUnavailable: the server does not answer.
        UsageError: the folder is missing or not writable, or the driver is not installed.
    """
    from alembic import command  # noqa: PLC0415 - the daemon never migrates, and starts faster without it

    engine = database.immediate(database.engine(url, create=True))
    try:
        with database.transaction(engine) as connection:
            if connection.dialect.name == "postgresql":
                _take_migration_lock(connection)
            database.require_schema(connection, may_be_old=True)
            command.upgrade(database.alembic_config(connection), "head")
    finally:
        engine.dispose()


def _take_migration_lock(connection: sa.Connection) -> None:
    """Wait for another station's migration as long as it takes; for a lock on a table only a moment.

    While a migration waits for a table, everything that comes after it waits, too: stations and reports.
    """
    # Filling a column of millions of rows takes longer than the 30 s that a batch may take.
    connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
    if not connection.scalar(sa.select(sa.func.pg_try_advisory_xact_lock(_MIGRATION_LOCK_ID))):
        log.warning(
            "%s: another migration is at work; waiting for its end", database.display(connection.engine.url)
        )
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_MIGRATION_LOCK_ID)))
    connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{_MAX_TABLE_LOCK_WAIT_S}s'")


class Store:
    """The ledger of one station. Several threads may use it. Close it, or use it as a context manager."""

    def __init__(
        self,
        engine: sa.Engine,
        station: str,
        station_id: int,
        seam_gap_s: float,
        recorded: Callable[[], None] | None,
    ) -> None:
        """Use :meth:`open` instead."""
        self.station = station
        self._station_id = station_id
        self._seam_gap_us = round(seam_gap_s * 1_000_000)
        self._readers = engine
        self._writers = database.immediate(engine)
        self._recorded = recorded
        self._latest: statements.Row | None = None  # the last arrival that was written, by its key

    @classmethod
    def open(
        cls, url: URL | str, station: str, *, seam_gap_s: float, recorded: Callable[[], None] | None = None
    ) -> Self:
        """Connect, check the schema's revision, and add the station if it is new.

        Args:
            url: SQLite or PostgreSQL, see :func:`inspector.ledger.database.engine`.
            station: its name in the settings.
            seam_gap_s: seconds without a frame of a part and seam, after which the next pass begins.
            recorded: called after each commit of :meth:`record`.

        Raises:
            SchemaError: the schema is missing, old or newer, or the file is no database.
            StoreUnavailable: the server does not answer; also if a constraint refuses the station's row.
            UsageError: the file is not writable, or the driver is not installed.
        """
        engine = database.engine(url)
        try:
            station_id = _known_station(engine, station)
        except BaseException:
            engine.dispose()
            raise
        return cls(engine, station, station_id, seam_gap_s, recorded)

    def reconnect(self) -> None:
        """Close every connection, connect again, and add the station if the ledger does not know it.

        After an outage the old connection may lead to a server that is a standby now, and the ledger may be a
        restored one, in which the station has another number. The rows of :meth:`in_force` are to be written
        again.

        Raises:
            SchemaError: the ledger that is there now has no schema, an old or a newer one.
            StoreUnavailable: the outage lasts.
        """
        database.require_ledger(self._readers)  # to close the old file could write to the one in its place
        self._readers.dispose()
        self._latest = None
        self._station_id = _known_station(self._readers, self.station)

    def close(self) -> None:
        """Close the connections."""
        self._readers.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def in_force(
        self, *, metadata: str, artifact_sha256: str, name: str, version: str, settings_json: str
    ) -> InForce:
        """Return the rows of the artifact and settings in force; the same content is stored only once.

        Args:
            metadata: the artifact's ``metadata.json``.
            artifact_sha256: hash of the artifact file, in hex digits.
            name: the artifact's name.
            version: the artifact's version.
            settings_json: settings and thresholds in force, a JSON object without secrets.

        Raises:
            StoreUnavailable: an outage.
            RowRefused: a constraint refuses one of the rows.
        """
        with self._transaction(self._writers) as connection:
            return self._in_force(
                connection,
                metadata=metadata,
                artifact_sha256=artifact_sha256,
                name=name,
                version=version,
                settings_json=settings_json,
            )

    def known(self, keys: Sequence[statements.Key]) -> dict[statements.Key, Known]:
        """Return what the ledger holds about each ``(source_name, sha256)``; unknown keys are left out.

        ``sha256`` is None for something without bytes to hash (FIFO, folder, link). The paths are those of
        the latest 16 arrivals of a key.

        Raises:
            StoreUnavailable: an outage.
        """
        found: dict[statements.Key, list[Any]] = defaultdict(list)
        hashed = [key for key in keys if key[1] is not None]
        without_bytes = [name for name, sha256 in keys if sha256 is None]
        with self._transaction(self._readers) as connection:
            for batch in database.batches(hashed):
                query = statements.latest_arrivals(len(batch))
                for row in connection.execute(query, statements.arrival_keys(self._station_id, batch)):
                    found[row.source_name, row.sha256].append(row)
            for names in database.batches(without_bytes):
                query = statements.arrivals_without_bytes(self._station_id, names)
                for row in connection.execute(query):
                    found[row.source_name, None].append(row)
        return {
            key: Known(
                inspection=next((row.inspection_id for row in known if row.inspection_id is not None), None),
                paths=tuple((Outcome(row.outcome), row.path) for row in known),
            )
            for key, known in found.items()
        }

    def recorded_at(self, place: Place, paths: Sequence[str]) -> dict[str, RecordedFile]:
        """Return what the latest rows say of the files at some paths; unknown paths are left out.

        Raises:
            StoreUnavailable: an outage.
        """
        a = schema.arrival.c
        reference = a.quarantine_id if place is Place.QUARANTINE else a.inspection_id
        query = (
            sa.select(a.path, a.source_name, a.sha256, a.inode)
            .where(a.station_id == self._station_id, reference.is_not(None))
            .order_by(a.id)
        )
        with database.transaction(self._readers) as connection:
            return {
                row.path: RecordedFile(row.source_name, row.sha256, row.inode)
                for batch in database.batches(paths)
                for row in connection.execute(query.where(a.path.in_(batch)))
            }

    def record(self, batch: Sequence[Inspected | Duplicate | Quarantined], in_force: InForce) -> list[int]:
        """Write a batch in one transaction: all of it, or nothing on any error.

        A batch that is sent again adds no row. An inspection whose ``(station, source_name, sha256)`` exists
        adds no row either: its file is a duplicate, or the same file after a crash.

        Returns:
            For each item the row that its arrival refers to: an inspection or a quarantine row.

        Raises:
            StoreUnavailable: an outage; nothing was written or the answer was lost, so send the batch again.
            RowRefused: a constraint refuses one of the rows; nothing was written.
            RowOutdated: the inspection of a duplicate is no longer there; nothing was written.
        """
        with self._transaction(self._writers, in_force) as connection:
            ids, arrivals = self._add(connection, batch, in_force)
        if arrivals:
            self._latest = {name: arrivals[-1][name] for name in statements.ARRIVAL_KEY}
        if self._recorded:
            self._recorded()
        return ids

    def rehearse(self, batch: Sequence[Inspected | Duplicate | Quarantined], **described: str) -> None:
        """Write what a station writes when it starts and records a batch, and take it all back.

        Args:
            batch: see :meth:`record`.
            described: see :meth:`in_force`.

        Raises:
            StoreUnavailable: an outage.
            RowRefused: a constraint refuses one of the rows.
        """
        with self._transaction(self._writers) as connection:
            rehearsal = connection.begin_nested()
            self._add(connection, batch, self._in_force(connection, **described))
            connection.execute(schema.event.insert(), self._event_row("start", "a rehearsal by check"))
            if connection.dialect.name == "postgresql":
                connection.exec_driver_sql("SET CONSTRAINTS ALL IMMEDIATE")
            rehearsal.rollback()

    def record_removals(self, arrivals: Sequence[int], outcome: Outcome) -> None:
        """Write that files leave the archive or quarantine, before they do, in one transaction.

        Args:
            arrivals: ids of the arrivals with the files' paths; a file that has left adds no row.
            outcome: ``PRUNED`` or ``REQUEUED``.

        Raises:
            StoreUnavailable: an outage; nothing was written or the answer was lost, so remove nothing.
        """
        with self._transaction(self._writers) as connection:
            connection.execute(statements.removal_insert(arrivals, outcome, _now_us()))

    def record_returned(self, path: str) -> None:
        """Write that a file never came to its recorded path in the quarantine: it is a new arrival, or gone.

        Raises:
            StoreUnavailable: an outage.
        """
        here = schema.arrival.c.station_id == self._station_id
        there = (schema.arrival.c.path == path) & schema.arrival.c.quarantine_id.is_not(None)
        with self._transaction(self._writers) as connection:
            ids = list(connection.scalars(sa.select(schema.arrival.c.id).where(here, there)))
            connection.execute(statements.removal_insert(ids, Outcome.REQUEUED, _now_us()))

    def record_event(self, kind: str, detail: str) -> None:
        """Write an event of the station: ``start``, ``stop``, ``outage`` and others.

        An event that a constraint of the shop's own refuses is left out with a line in the log: it must not
        stop the work that it reports.

        Raises:
            StoreUnavailable: an outage.
        """
        try:
            with self._transaction(self._writers) as connection:
                connection.execute(schema.event.insert(), self._event_row(kind, detail))
        except RowRefused as error:
            log.warning("event %s is not in the database: %s", kind, error)

    def record_reviews(self, reviews: Sequence[Review | SeamReview]) -> int:
        """Write human verdicts, all of them or none.

        A verdict whose key is in the ledger adds no row, also if both arrive at once. Without a key, one that
        repeats the latest of its image adds no row; a verdict on a pass over a seam is compared with the
        latest one that names the same newest frame.

        Returns:
            Number of rows added.

        Raises:
            StoreUnavailable: an outage.
        """
        now, added = _now_us(), 0
        with self._transaction(self._writers) as connection:
            for item in reviews:
                table, row = statements.review_row(item)
                if item.key is not None:
                    added += _insert_once(connection, table, row | {"reviewed_us": now})
                    continue
                of_image = sa.select(table).where(table.c.inspection_id == item.inspection)
                latest = connection.execute(of_image.order_by(table.c.id.desc()).limit(1)).mappings().first()
                if latest is None or any(latest[name] != value for name, value in row.items()):
                    connection.execute(table.insert(), row | {"reviewed_us": now})
                    added += 1
        return added

    def record_rejudgements(self, batch: Sequence[Rejudgement], run: str, in_force: InForce) -> None:
        """Write another artifact's verdicts in one transaction; an image that has one of it adds no row.

        Args:
            batch: its verdicts, and the images for which there is none.
            run: what asked for them, and since when.
            in_force: that artifact, and the settings that it judged by, from :meth:`in_force`.

        Raises:
            StoreUnavailable: an outage; nothing was written or the answer was lost, so send the batch again.
            RowRefused: a constraint refuses one of the rows; nothing was written.
        """
        now = {"judged_us": _now_us()}
        rows = [statements.rejudgement_row(item, run=run, in_force=in_force) | now for item in batch]
        with self._transaction(self._writers, in_force) as connection:
            bulk.add_new(connection, schema.rejudgement, rows)

    def record_signal_note(self, note: SignalNote) -> int:
        """Write a person's note on a signal; one whose key is in the ledger adds no row.

        Returns:
            Number of rows added.

        Raises:
            StoreUnavailable: an outage.
        """
        row = statements.signal_note_row(note) | {"noted_us": _now_us()}
        with self._transaction(self._writers) as connection:
            return _insert_once(connection, schema.signal_note, row)

    def record_sample(self, chosen: Sequence[int], *, seed: int, population: int) -> None:
        """Write which PASS images a random draw chose; an image stays in the sample that it was in first.

        Args:
            chosen: inspections.
            seed: of the draw.
            population: how many images could be drawn.

        Raises:
            StoreUnavailable: an outage.
        """
        drawn = {"seed": seed, "population": population, "drawn_us": _now_us()}
        with self._transaction(self._writers) as connection:
            insert = statements.insert_new(connection.dialect.name, schema.audit_sample)
            connection.execute(insert, [{"inspection_id": inspection} | drawn for inspection in chosen])

    def _in_force(
        self,
        connection: sa.Connection,
        *,
        metadata: str,
        artifact_sha256: str,
        name: str,
        version: str,
        settings_json: str,
    ) -> InForce:
        now, content = _now_us(), json.loads(settings_json)
        digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
        described = {"name": name, "version": version, "metadata": json.loads(metadata), "first_used_us": now}
        used = {"content": content, "first_used_us": now}
        return InForce(
            station=self.station,
            artifact_sha256=artifact_sha256,
            settings_sha256=digest,
            model_id=_id_of(connection, schema.model, {"artifact_sha256": artifact_sha256}, described),
            settings_id=_id_of(connection, schema.settings, {"sha256": digest}, used),
        )

    def _add(
        self,
        connection: sa.Connection,
        batch: Sequence[Inspected | Duplicate | Quarantined],
        in_force: InForce,
    ) -> tuple[list[int], list[statements.Row]]:
        """Add the rows of a batch and their arrivals; return the row that each item refers to, and these."""
        ids: list[int] = []
        arrivals: list[statements.Row] = []
        for item in batch:
            reference, outcome = self._reference(connection, item, in_force)
            ids.append(reference)
            if outcome is not None:
                row = statements.arrival_row(item, outcome, reference, station_id=self._station_id)
                arrivals.append(row)
        if arrivals:
            connection.execute(statements.insert_new(connection.dialect.name, schema.arrival), arrivals)
        return ids, arrivals

    def _event_row(self, kind: str, detail: str) -> statements.Row:
        return {
            "station_id": self._station_id,
            "kind": kind,
            "detail": statements.clean(detail),
            "at_us": _now_us(),
        }

    @contextmanager
    def _transaction(self, engine: sa.Engine, in_force: InForce | None = None) -> Iterator[sa.Connection]:
        """Begin a transaction on the ledger that was opened, and on no other or older state of it.

        A server may be restored while nothing is written, without an outage that a connection would notice.
        The station's number and those in force may belong to others by then. After :meth:`reconnect` and
        :meth:`in_force` they are right again.

        Raises:
            StoreUnavailable: an outage, or the ledger is another or an older one.
        """
        query = statements.same_ledger(with_rules=in_force is not None, with_arrival=self._latest is not None)
        keys = statements.ledger_keys(self._station_id, self.station, in_force, self._latest)
        with database.transaction(engine) as connection:
            if connection.scalar(query, keys) is None:
                database.give_up(engine)
                raise StoreUnavailable(
                    f"{database.display(engine.url)}: the database was restored or replaced while it was "
                    "open; a service goes on by itself, other commands have to be run again"
                )
            yield connection

    def _reference(
        self, connection: sa.Connection, item: Inspected | Duplicate | Quarantined, in_force: InForce
    ) -> tuple[int, Outcome | None]:
        """Return the row that the item's arrival refers to, adding it if it is missing, and the outcome."""
        if isinstance(item, Duplicate):
            return self._inspection_of(connection, item), Outcome.DUPLICATE
        if isinstance(item, Quarantined):
            row = statements.quarantine_row(item, station_id=self._station_id)
            key = {name: row.pop(name) for name in ("station_id", "path", "quarantined_us")}
            return _id_of(connection, schema.quarantine, key, row), Outcome.QUARANTINED
        return self._insert_inspection(connection, item, in_force)

    def _inspection_of(self, connection: sa.Connection, item: Duplicate) -> int:
        """Return the first judgement of a file, by its key: numbers may be others since it was looked up."""
        c = schema.inspection.c
        key = (c.station_id == self._station_id, c.source_name == item.arrival.source_name)
        found = connection.scalar(sa.select(c.id).where(*key, c.sha256 == item.source.sha256))
        if found is None:
            raise RowOutdated(
                f"{item.arrival.source_name}: its inspection {item.inspection} is gone, because the database "
                "was restored; it is judged again"
            )
        return int(found)

    def _insert_inspection(
        self, connection: sa.Connection, item: Inspected, in_force: InForce
    ) -> tuple[int, Outcome | None]:
        """Return the item's inspection row; the outcome is None if this very file was recorded before."""
        row = statements.inspection_row(item, station_id=self._station_id, in_force=in_force)
        statement = statements.inspection_insert(
            connection.dialect.name, with_part=row["part"] is not None, with_seam=row["seam"] is not None
        )
        new = connection.scalar(statement, row | statements.look_up_keys(row, self._seam_gap_us))
        if new is not None:
            return int(new), Outcome.INSPECTED
        table = schema.inspection
        key = (table.c[name] == row[name] for name in ("station_id", "source_name", "sha256"))
        old = connection.execute(sa.select(table.c.id, table.c.archive_path).where(*key)).one()
        return old.id, None if old.archive_path == item.final_path else Outcome.DUPLICATE


def _known_station(engine: sa.Engine, name: str) -> int:
    """The id of the station's row, which is made if it is missing, in a ledger of this program's schema."""
    with database.transaction(engine) as connection:
        database.require_schema(connection)
    try:
        with database.transaction(database.immediate(engine)) as connection:
            return _id_of(connection, schema.station, {"name": name}, {"first_opened_us": _now_us()})
    except RowRefused as error:
        raise StoreRefused(
            f"{error}; all rows of station {name} refer to it: change the constraint or trigger"
        ) from error
    except StoreRefused:  # this user may add no station, as a reviewer on PostgreSQL
        with database.transaction(engine) as connection:
            known = connection.scalar(sa.select(schema.station.c.id).where(schema.station.c.name == name))
        if known is None:
            raise
        return int(known)


def _insert_once(connection: sa.Connection, table: sa.Table, row: statements.Row) -> int:
    """Add a row unless its key is there, also if another connection adds it at once; return how many."""
    insert = statements.insert_new(connection.dialect.name, table).values(row)
    return int(connection.scalar(insert.returning(table.c.id)) is not None)


def _id_of(
    connection: sa.Connection,
    table: sa.Table,
    key: Mapping[str, Any],
    others: Mapping[str, Any],
) -> int:
    """Return the id of the row with this key; add the row if it is missing, even if others do the same."""
    insert = statements.insert_new(connection.dialect.name, table).values({**key, **others})
    new = connection.scalar(insert.returning(table.c.id))
    if new is None:
        where = (table.c[name] == value for name, value in key.items())
        new = connection.scalar(sa.select(table.c.id).where(*where))
    return int(new)


def _now_us() -> int:
    return time.time_ns() // 1000
