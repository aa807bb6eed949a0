"""Quarantined files go back into the drop folder, to be inspected again.

The ``requeued`` arrival is committed before the file moves. In the other order, the daemon, which takes a
file within milliseconds, could find the quarantine row without its file and move the file back there. A
crash in between leaves a file in quarantine whose latest row says ``requeued``: reconcile counts it as
pending, and the next requeue moves it, with any options.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import URL

from inspector import file_names
from inspector.errors import UsageError
from inspector.ledger import database, statements
from inspector.ledger.schema import arrival, quarantine
from inspector.ledger.schema import station as stations
from inspector.ledger.store import Store
from inspector.records import Outcome
from inspector.station.archive import Archive


@dataclass(frozen=True, slots=True)
class Chosen:
    """A choice of quarantined files: those that match every attribute.

    Attributes:
        rows: numbers of quarantine rows; None: any.
        reason: reason of the quarantine; None: any.
        period_us: first instant and end (exclusive) of the quarantine, UTC epoch microseconds.
    """

    rows: Sequence[int] | None
    reason: str | None
    period_us: tuple[int, int]


@dataclass(slots=True)
class Requeued:
    """Number of files that went or would go back; ``left`` has a line for each that stays, and why."""

    files: int = 0
    left: list[str] = field(default_factory=list)


def requeue(
    store: Store,
    url: URL | str,
    chosen: Chosen,
    archive: Archive,
    *,
    drop_folder: Path,
    quarantine_folder: Path,
    move: bool = True,
    track: Callable[[list[Any]], Iterable[Any]] = iter,
) -> Requeued:
    """Move one station's quarantined files back into the drop folder under their original names.

    If another file in the drop folder has the name, the file stays in quarantine.

    Args:
        store: the station's ledger.
        url: the same database, for reading.
        chosen: the files to move.
        archive: moves the files.
        drop_folder: the station's drop folder.
        quarantine_folder: the station's quarantine.
        move: if False, files are only counted.
        track: gets the list of batches and gives them back one by one, to show progress.

    Raises:
        UsageError: a row is not of this station, or its file has gone back or was pruned.
        StoreUnavailable: an outage; files that were not recorded are still in quarantine.
    """
    result = Requeued()
    with database.reading(url) as engine:
        unfinished = _unfinished(engine, store.station, quarantine_folder)
        with database.transaction(engine) as connection:
            wanted = connection.execute(_quarantined(store.station, chosen)).all()
    if unknown := set(chosen.rows or ()) - {row.quarantine_id for row in wanted}:
        raise UsageError(
            f"no file of quarantine row {min(unknown)} is in station {store.station}'s quarantine; "
            "'report quarantine' lists them"
        )
    taken_targets: set[Path] = set()
    free = [
        row for row in wanted if _can_go_back(row, drop_folder, quarantine_folder, taken_targets, result.left)
    ]
    for batch in track([unfinished, *database.batches(free)]):
        if move and batch:
            # This adds no row for the files of an interrupted requeue, which have theirs.
            store.record_removals([row.id for row in batch], Outcome.REQUEUED)
        for row in batch:
            refusal = archive.give_back(row.path, _target(row, drop_folder)) if move else None
            if refusal is None:
                result.files += 1
            else:
                result.left.append(f"{quarantine_folder / row.path}: {refusal}; requeue again")
    return result


def _unfinished(engine: sa.Engine, station: str, quarantine_folder: Path) -> list[Any]:
    """Return the files that an earlier call recorded and did not move.

    The ledger is read again after the disk: the daemon may have moved such a file back meanwhile, and it
    commits its row before it moves a file.
    """

    def recorded() -> dict[int, Any]:
        with database.transaction(engine) as connection:
            return {row.id: row for row in connection.execute(statements.requeued(station))}

    on_disk = [n for n, row in recorded().items() if os.path.lexists(quarantine_folder / row.path)]
    still = recorded() if on_disk else {}
    return [still[number] for number in on_disk if number in still]


def _quarantined(station: str, chosen: Chosen) -> sa.Select[Any]:
    """Return a query for the chosen arrivals that are neither requeued nor pruned, the oldest first."""
    removal = arrival.alias("removal")
    removed = sa.exists().where(
        removal.c.quarantine_id == arrival.c.quarantine_id,
        removal.c.outcome.in_([Outcome.REQUEUED, Outcome.PRUNED]),
    )
    first_us, end_us = chosen.period_us
    query = (
        sa.select(arrival.c.id, arrival.c.source_name, arrival.c.path, arrival.c.quarantine_id)
        .join(quarantine, quarantine.c.id == arrival.c.quarantine_id)
        .join(stations, stations.c.id == arrival.c.station_id)
        .where(
            stations.c.name == station,
            arrival.c.outcome == Outcome.QUARANTINED,
            quarantine.c.quarantined_us >= first_us,
            quarantine.c.quarantined_us < end_us,
            ~removed,
        )
        .order_by(arrival.c.id)
    )
    if chosen.rows is not None:
        query = query.where(quarantine.c.id.in_(chosen.rows))
    return query if chosen.reason is None else query.where(quarantine.c.reason == chosen.reason)


def _can_go_back(
    row: Any, drop_folder: Path, quarantine_folder: Path, taken_targets: set[Path], left: list[str]
) -> bool:
    """Return whether a file exists and its name is free; if not, add a line that says what is wrong."""
    source, target = quarantine_folder / row.path, _target(row, drop_folder)
    if not os.path.lexists(source):
        left.append(f"{source}: is missing; see 'weld-inspect reconcile'")
    elif not target.parent.is_dir():
        left.append(f"{source}: there is no folder {target.parent.name} in {drop_folder} any more; create it")
    elif os.path.lexists(target) or target in taken_targets:
        left.append(f"{source}: another file waits as {row.source_name}; requeue again when it is gone")
    else:
        taken_targets.add(target)
        return True
    return False


def _target(row: Any, drop_folder: Path) -> Path:
    return drop_folder / file_names.to_path(row.source_name)
