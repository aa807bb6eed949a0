"""Quarantined files go back into the drop folder, to be judged or set aside anew.

The order is row, then rename: the ``requeued`` arrival is committed before the file moves. The other way
round the daemon, which takes a file within milliseconds, could find its quarantine row without a file and put
it back there. A crash in between leaves a file in quarantine whose latest row says ``requeued``: reconcile
counts it as pending, and the next requeue, whatever it is asked for, finishes it.
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
    """Which quarantined files: those that fit all that is given.

    Attributes:
        rows: quarantine rows, by their numbers; None: any.
        reason: why they were set aside; None: any.
        period_us: when they were, first instant and end (not included), UTC epoch microseconds.
    """

    rows: Sequence[int] | None
    reason: str | None
    period_us: tuple[int, int]


@dataclass(slots=True)
class Requeued:
    """What went back, or would; ``left`` has a line for each that stays, and why."""

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
    """Move one station's quarantined files back into the drop folder under the names that they came with.

    A name that is taken there is never overwritten: the file stays in quarantine.

    Args:
        store: the station's ledger.
        url: the same database, to read.
        chosen: which files.
        archive: moves them.
        drop_folder: where they came from.
        quarantine_folder: where they are.
        move: False only counts.
        track: told what is to be moved, to show how far it has got.

    Raises:
        UsageError: a row that was named is none of this station, or its file has gone back or been pruned.
        StoreUnavailable: an outage; what was not recorded still stands.
    """
    result = Requeued()
    with database.reading(url) as engine:
        unfinished = _unfinished(engine, store.station, quarantine_folder)
        with database.transaction(engine) as connection:
            wanted = connection.execute(_quarantined(store.station, chosen)).all()
    if unknown := set(chosen.rows or ()) - {row.quarantine_id for row in wanted}:
        raise UsageError(
            f"no file of quarantine row {min(unknown)} is in station {store.station}'s quarantine"
        )
    taken_targets: set[Path] = set()
    free = [
        row for row in wanted if _can_go_back(row, drop_folder, quarantine_folder, taken_targets, result.left)
    ]
    for batch in track([unfinished, *database.batches(free)]):
        if move and batch:
            store.record_removals(
                [row.id for row in batch], Outcome.REQUEUED
            )  # adds nothing for what was cut short
        for row in batch:
            refusal = archive.give_back(row.path, _target(row, drop_folder)) if move else None
            if refusal is None:
                result.files += 1
            else:
                result.left.append(f"{quarantine_folder / row.path}: {refusal}; requeue again")
    return result


def _unfinished(engine: sa.Engine, station: str, quarantine_folder: Path) -> list[Any]:
    """Files that an earlier call recorded and did not move.

    The disk is read before the ledger's last word: the daemon may have brought such a file back meanwhile,
    and it commits its row first.
    """

    def recorded() -> dict[int, Any]:
        with database.transaction(engine) as connection:
            return {row.id: row for row in connection.execute(statements.requeued(station))}

    on_disk = [n for n, row in recorded().items() if os.path.lexists(quarantine_folder / row.path)]
    still = recorded() if on_disk else {}
    return [still[number] for number in on_disk if number in still]


def _quarantined(station: str, chosen: Chosen) -> sa.Select[Any]:
    """Arrivals of the chosen files that are neither back nor pruned, oldest first."""
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
    """Whether a file is there and its name in the drop folder is free; else a line says what is wrong."""
    source, target = quarantine_folder / row.path, _target(row, drop_folder)
    if not os.path.lexists(source):
        left.append(f"{source}: is not there; 'weld-inspect reconcile' tells more")
    elif not target.parent.is_dir():
        left.append(f"{source}: there is no folder {target.parent.name} in {drop_folder} any more; make it")
    elif os.path.lexists(target) or target in taken_targets:
        left.append(f"{source}: another file waits as {row.source_name}; requeue again when it is gone")
    else:
        taken_targets.add(target)
        return True
    return False


def _target(row: Any, drop_folder: Path) -> Path:
    return drop_folder / file_names.to_path(row.source_name)
