"""Files in quarantine, and their way back into the drop folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import URL

from inspector.console.state import Console
from inspector.ledger import database
from inspector.ledger.schema import arrival, quarantine
from inspector.ledger.schema import station as stations
from inspector.ledger.store import Store
from inspector.locks import upkeep_lock
from inspector.records import Outcome
from inspector.station.archive import Archive
from inspector.times import instants
from inspector.upkeep.requeue import Chosen, Requeued, requeue

MAX_SHOWN = 200


@dataclass(frozen=True, slots=True)
class InQuarantine:
    """A file that could not be inspected, and is still in quarantine."""

    row: int
    source_name: str
    reason: str
    detail: str
    quarantined_us: int


def in_quarantine(url: URL | str, station: str, limit: int = MAX_SHOWN) -> tuple[int, list[InQuarantine]]:
    """Return how many files of a station are in quarantine, and the newest of them.

    Raises:
        StoreUnavailable: the server does not answer.
    """
    removal = arrival.alias("removal")
    removed = sa.exists().where(
        removal.c.quarantine_id == quarantine.c.id,
        removal.c.outcome.in_([Outcome.REQUEUED, Outcome.PRUNED]),
    )
    q = quarantine.c
    here = sa.select(stations.c.id).where(stations.c.name == station).scalar_subquery()
    query = sa.select(q.id, q.source_name, q.reason, q.detail, q.quarantined_us).where(
        q.station_id == here, ~removed
    )
    with database.reading(url) as engine, database.transaction(engine) as connection:
        database.require_schema(connection)
        count = connection.scalar(sa.select(sa.func.count()).select_from(query.subquery())) or 0
        rows = connection.execute(query.order_by(q.quarantined_us.desc(), q.id.desc()).limit(limit))
        return count, [InQuarantine(*row) for row in rows]


def put_back(console: Console, rows: Sequence[int], person: str) -> Requeued:
    """Move files from quarantine into the drop folder, as ``weld-inspect requeue`` does.

    Raises:
        UsageError: a row is not of this station, or its file has gone back or was pruned.
        FolderError: this account may not move the files.
        StoreUnavailable: an outage, or this account may not write to the ledger.
    """
    archive = Archive(console.drop_folder, console.archive_folder, console.quarantine_folder)
    with (
        upkeep_lock(console.quarantine_folder),
        Store.open(console.url, console.station, seam_gap_s=console.seam_gap_s) as store,
    ):
        result = requeue(
            store,
            console.url,
            Chosen(rows, None, instants(None, None, console.zone)),
            archive,
            drop_folder=console.drop_folder,
            quarantine_folder=console.quarantine_folder,
        )
        if result.files:
            store.record_event("requeue", f"{result.files} files, by {person}")
    return result
