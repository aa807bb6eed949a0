"""Comparison of one station's ledger with its disk, in both directions. It only reads."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import URL

from inspector import file_names
from inspector.ledger import database, statements
from inspector.ledger.schema import arrival, signed
from inspector.ledger.schema import station as stations
from inspector.records import Outcome, Place
from inspector.reports.query import Query, run
from inspector.upkeep.folders import is_text, walk


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """Counts of one station's files; ``seen`` is the files that the ledger counts plus ``pending``."""

    seen: int
    inspected: int
    duplicates: int
    quarantined: int
    pending: int
    unaccounted: int
    details: tuple[str, ...]  # one line for each file that is unaccounted for


def reconcile(
    url: URL | str,
    *,
    station: str,
    drop_folder: Path,
    archive_folder: Path,
    quarantine_folder: Path,
    pending: Iterable[Path],
) -> Reconciliation:
    """Compare one station's ledger with its disk, in both directions.

    A file in the archive or quarantine is unaccounted for if it has no arrival. An arrival is unaccounted for
    if its file is not at its path, was neither pruned nor put back, and is not in the drop folder any more
    (after a crash it may still be there). A file that a requeue has recorded and not moved yet is pending.
    The function is long because of its arguments' descriptions; its code fits a screen.

    Args:
        url: the quality database.
        station: the station's name.
        drop_folder: source names are relative to it.
        archive_folder: paths of inspected files and duplicates are relative to it.
        quarantine_folder: paths of quarantined files are relative to it.
        pending: the files that wait in the drop folder.

    Raises:
        SchemaError: the database lacks the schema.
        StoreUnavailable: the server does not answer.
    """
    folders = {Place.ARCHIVE: archive_folder, Place.QUARANTINE: quarantine_folder}
    waiting = {file_names.to_text(path.relative_to(drop_folder)): path for path in pending}
    with database.reading(url) as engine:
        with database.transaction(engine) as connection:
            database.require_schema(connection)
            missing = [row for row in _arrivals_on_disk(connection, station) if not _is_on_disk(row, folders)]
            requeued = connection.execute(statements.requeued(station)).all()
        unknown = [
            f"{path}: the ledger knows no such file"
            for place, folder in folders.items()
            for path in _unknown_files(engine, station, folder, place)
        ]
    # Requeued files that are still in quarantine: that requeue was interrupted.
    unfinished_requeues = sum(os.path.lexists(quarantine_folder / row.path) for row in requeued)
    being_moved = {
        row.source_name for row in missing if _is_same_file(waiting.get(row.source_name), row.inode)
    }
    lost = [  # the disk is asked again, because the daemon may have moved a file meanwhile
        f"{folders[_place(row)] / row.path}: {row.source_name} was recorded there"
        for row in missing
        if row.source_name not in being_moved and not _is_on_disk(row, folders)
    ]
    still_waiting = len(waiting) - len(being_moved) + unfinished_requeues
    counts = _counts(url, station)
    return Reconciliation(
        seen=counts["seen"] + still_waiting,
        inspected=counts["inspected"],
        duplicates=counts["duplicates"],
        quarantined=counts["quarantined"],
        pending=still_waiting,
        unaccounted=len(unknown) + len(lost),
        details=tuple(unknown + lost),
    )


def _counts(url: URL | str, station: str) -> Mapping[str, Any]:
    """Return the station's row of the report ``reconcile``, or zeros if it has none."""
    report = run(url, Query("reconcile"))
    for row in report.rows:
        if row[0] == station:
            return dict(zip(report.columns, row, strict=True))
    return dict.fromkeys(report.columns, 0)


def _arrivals_on_disk(connection: sa.Connection, station: str) -> Iterator[Any]:
    """Read the arrivals whose file must be in the archive or quarantine: neither pruned nor put back."""
    removal = arrival.alias("removal")
    removed = sa.exists().where(
        removal.c.station_id == arrival.c.station_id,
        removal.c.path == arrival.c.path,
        removal.c.outcome.in_([Outcome.PRUNED, Outcome.REQUEUED]),
        removal.c.id > arrival.c.id,
        removal.c.inspection_id.is_(None) == arrival.c.inspection_id.is_(None),  # the same folder
    )
    query = (
        sa.select(arrival.c.source_name, arrival.c.path, arrival.c.inode, arrival.c.quarantine_id)
        .join(stations)
        .where(
            stations.c.name == station,
            arrival.c.outcome.in_([Outcome.INSPECTED, Outcome.DUPLICATE, Outcome.QUARANTINED]),
            ~removed,
        )
        .order_by(arrival.c.id)
    )
    yield from connection.execution_options(yield_per=database.MAX_IDS_PER_QUERY).execute(query)


def _place(row: Any) -> Place:
    return Place.ARCHIVE if row.quarantine_id is None else Place.QUARANTINE


def _is_on_disk(row: Any, folders: Mapping[Place, Path]) -> bool:
    return os.path.lexists(folders[_place(row)] / row.path)


def _is_same_file(path: Path | None, inode: int) -> bool:
    try:
        return path is not None and signed(path.lstat().st_ino) == inode
    except FileNotFoundError:
        return False


def _unknown_files(engine: sa.Engine, station: str, folder: Path, place: Place) -> Iterator[str]:
    """Find the files in ``folder`` that no arrival names; read in parts, so that any number is possible.

    A quarantined folder is one arrival, and its content belongs to it.
    """
    known = partial(known_paths, engine, station, place)
    for _, files in walk(folder, known):
        for path in files.keys() - known(list(files)):
            yield _line(folder / path)


def _line(path: Path) -> str:
    """Return a path as it is on the disk; only one that would break a line or is no UTF-8 is escaped."""
    return str(path) if is_text(str(path)) and str(path).isprintable() else file_names.to_text(path)


def known_paths(engine: sa.Engine, station: str, place: Place, paths: Iterable[str]) -> set[str]:
    """Return those paths in a station's archive or quarantine that an arrival names."""
    askable = [path for path in paths if is_text(path)]
    column = arrival.c.quarantine_id if place is Place.QUARANTINE else arrival.c.inspection_id
    query = (
        sa.select(arrival.c.path)
        .join(stations)
        .where(stations.c.name == station, arrival.c.path.in_(askable), column.is_not(None))
    )
    with database.transaction(engine) as connection:
        return set(connection.scalars(query))
