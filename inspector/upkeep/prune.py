"""Retention: old images leave the disk, their rows stay.

A file's ``pruned`` arrival is committed before the file is removed. A crash in between leaves a file whose
latest row says ``pruned``: reconcile does not miss it, and the next prune removes it. The disk is read before
the ledger. The daemon commits a file's row before it moves the file, so a file without a row is not the
station's, and prune never touches it.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import URL

from inspector.errors import FolderError, StationError
from inspector.ledger import database
from inspector.ledger.schema import arrival, audit_sample, inspection, review
from inspector.ledger.schema import station as stations
from inspector.ledger.store import Store
from inspector.records import Outcome, Place, Verdict
from inspector.times import DAY_US
from inspector.upkeep.folders import is_text, walk
from inspector.upkeep.reconcile import known_paths

# Longer than a shop's holidays. After a smaller jump of the clock, images are removed so many days early.
MAX_QUIET_DAYS: Final = 30
_EPOCH: Final = date(1970, 1, 1).toordinal()
REASONS_TO_KEEP = ("young", "verdict", "unreviewed", "unknown")  # see _reason_to_keep


@dataclass(frozen=True, slots=True)
class Policy:
    """The files that may be removed.

    Attributes:
        before_us: only files recorded before this instant, UTC epoch microseconds.
        verdicts: only images with these verdicts: a person's PASS or FAIL, else the station's verdict.
        unreviewed: also images that wait for a person: FAIL, REVIEW and audit samples without a decision.
        places: the archive, or also the quarantine.
    """

    before_us: int
    verdicts: frozenset[Verdict]
    unreviewed: bool = False
    places: tuple[Place, ...] = (Place.ARCHIVE,)


@dataclass(slots=True)
class Pruned:
    """Counts of the files that were or would be removed, and of those that stay."""

    files: int = 0
    size_bytes: int = 0
    kept: Counter[str] = field(default_factory=Counter)  # by REASONS_TO_KEEP


def prune(
    store: Store,
    url: URL | str,
    policy: Policy,
    *,
    archive_folder: Path,
    quarantine_folder: Path,
    delete: bool,
    track: Callable[[list[Any]], Iterable[Any]] = iter,
) -> Pruned:
    """Remove the files that a policy allows from one station's folders, the oldest day first.

    A file is removed only from the path where the daemon puts it,
    ``<day>/<verdict or reason>/[<sub-folder>/]<file>``, and only if a row has its path, size and time of
    change. Everything else stays, folders too.

    Args:
        store: the station's ledger.
        url: the same database, for reading.
        policy: the files that may be removed.
        archive_folder: the station's archive.
        quarantine_folder: the station's quarantine; read if the policy includes it.
        delete: if False, files are only counted.
        track: gets the list of days and gives them back one by one, to show progress.

    Raises:
        FolderError: this user cannot remove files from a folder; all of its files are still there.
        StationError: a file could not be removed; its row is written, and the next prune tries again.
        StoreUnavailable: an outage; files that were not recorded are still there.
    """
    result = Pruned()
    roots = {Place.ARCHIVE: archive_folder, Place.QUARANTINE: quarantine_folder}
    days = [(place, day) for place in policy.places for day in _days(roots[place])]
    with database.reading(url) as engine:
        for place, day in track(days):
            known = partial(known_paths, engine, store.station, place)
            for folder, files in _files_in(day, roots[place], known):
                if delete and not os.access(folder, os.W_OK | os.X_OK):
                    raise FolderError(
                        f"{folder}: this user may not remove files; run it as the station's user"
                    )
                with database.transaction(engine) as connection:
                    found = _latest(connection, store.station, files, place)
                reasons = {p: _reason_to_keep(found.get(p), status, policy) for p, status in files.items()}
                result.kept.update(reason for reason in reasons.values() if reason)
                removable = [path for path, reason in reasons.items() if reason is None]
                if delete and removable:
                    store.record_removals([found[path]["id"] for path in removable], Outcome.PRUNED)
                    _unlink(roots[place] / path for path in removable)
                result.files += len(removable)
                result.size_bytes += sum(files[path].st_size for path in removable)
    return result


def require_plausible_clock(url: URL | str, station: str, policy: Policy, now_us: int) -> None:
    """Refuse a clock that was set forward, if the ledger shows that.

    Each row has the time of the clock. During a gap between two rows, or between the newest row and now,
    either the station was off or the clock was set forward. In the second case images are younger than they
    seem.

    Raises:
        StationError: there is a gap of more than ``MAX_QUIET_DAYS`` after the policy's ``before_us``.
    """
    here = sa.select(stations.c.id).where(stations.c.name == station).scalar_subquery()
    seen = sa.select(arrival.c.recorded_us.op("/")(DAY_US)).where(
        arrival.c.station_id == here, arrival.c.outcome.not_in([Outcome.PRUNED, Outcome.REQUEUED])
    )
    with database.reading(url) as engine, database.transaction(engine) as connection:
        days = sorted({*connection.scalars(seen.distinct()), now_us // DAY_US})
    for before, after in pairwise(days):
        if (
            after - before > MAX_QUIET_DAYS
            and after * DAY_US >= policy.before_us
            and before * DAY_US < now_us
        ):
            first, last = (date.fromordinal(_EPOCH + day).isoformat() for day in (before, after))
            raise StationError(
                f"no file was recorded between {first} and {last}: if this computer's clock was wrong, "
                "images are younger than they seem; set the clock, or, if the station was off, "
                "give --trust-clock"
            )


def _days(root: Path) -> list[Path]:
    """Return the folders of the days, the oldest first."""
    return sorted(path for path in root.glob("[!.]*/") if not path.is_symlink())


def _files_in(
    day: Path, root: Path, known: Callable[[list[str]], set[str]]
) -> Iterator[tuple[Path, dict[str, os.stat_result]]]:
    """Yield each folder of a day with some of its files at a time, by the paths that rows give them.

    A file outside the folder of a verdict or reason is not the daemon's. Folders are left out.
    """
    for folder, entries in walk(day, known, below=root):
        found = {}
        for path, entry in entries.items() if folder != day else ():
            with contextlib.suppress(FileNotFoundError):
                status = entry.stat(follow_symlinks=False)
                if is_text(path) and not stat.S_ISDIR(status.st_mode):
                    found[path] = status
        if found:
            yield folder, dict(sorted(found.items()))


def _unlink(files: Iterable[Path]) -> None:
    for file in files:
        try:
            file.unlink(missing_ok=True)
        except OSError as error:
            raise StationError(f"{file}: {error.strerror}; fix this and prune again") from None


def _latest(
    connection: sa.Connection, station: str, paths: Iterable[str], place: Place
) -> dict[str, sa.RowMapping]:
    """Return the latest arrival of each path, with the verdicts of the station and of people."""
    other = review.alias()
    latest_review = sa.select(sa.func.max(other.c.id)).where(other.c.inspection_id == inspection.c.id)
    is_sample = sa.exists().where(audit_sample.c.inspection_id == inspection.c.id)
    query = (
        sa.select(
            arrival, inspection.c.verdict, review.c.verdict.label("human"), is_sample.label("is_sample")
        )
        .join(stations, stations.c.id == arrival.c.station_id)
        .outerjoin(inspection, inspection.c.id == arrival.c.inspection_id)
        .outerjoin(review, review.c.id == latest_review.scalar_subquery())
        .where(
            stations.c.name == station,
            arrival.c.path.in_(list(paths)),
            (arrival.c.quarantine_id if place is Place.QUARANTINE else arrival.c.inspection_id).is_not(None),
        )
        .order_by(arrival.c.id)
    )
    return {row["path"]: row for row in connection.execute(query).mappings()}


def _reason_to_keep(row: sa.RowMapping | None, status: os.stat_result, policy: Policy) -> str | None:
    """Return why a file stays, one of :data:`REASONS_TO_KEEP`; None if it may be removed."""
    if row is None or not _is_of(row, status) or row["outcome"] == Outcome.REQUEUED:
        return "unknown"  # not in the ledger, or going back into the drop folder
    if row["outcome"] == Outcome.PRUNED:
        return None  # an earlier prune was interrupted
    if row["recorded_us"] >= policy.before_us:
        return "young"
    if row["outcome"] == Outcome.QUARANTINED:
        return None
    decided = row["human"] in (Verdict.PASS, Verdict.FAIL)
    if (row["human"] if decided else row["verdict"]) not in policy.verdicts:
        return "verdict"
    is_waiting = not decided and (row["verdict"] != Verdict.PASS or row["is_sample"])
    return "unreviewed" if is_waiting and not policy.unreviewed else None


def _is_of(row: sa.RowMapping, status: os.stat_result) -> bool:
    """Return whether size and time are those that were recorded, as also for a restored copy."""
    return (row["size_bytes"], row["mtime_us"]) == (status.st_size, status.st_mtime_ns // 1000)
