"""Archived images judged again by another artifact, page by page, beside a station at work.

A page is read by number from the ledger, judged, and recorded in one transaction. Beside a running daemon the
threads that judge get only the processor time that nobody else wants. So nothing is judged while a page is
recorded: a thread that waits for its turn could hold Python's lock, and the station waits for the
database's. What is recorded is not judged again, so a run that was killed is continued by the next one.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import URL

from inspector import file_names, locks
from inspector.errors import FolderError
from inspector.ledger import database
from inspector.ledger.schema import arrival, inspection, rejudgement
from inspector.ledger.schema import station as stations
from inspector.ledger.store import Store
from inspector.records import InForce, Outcome, Rejudgement, Verdict
from inspector.station.second_opinion import VANISHED, Archived, SecondOpinion, Unread
from inspector.times import iso

log = logging.getLogger("weldnet")

_IMAGES_PER_PAGE: Final = database.MAX_IDS_PER_QUERY  # a page's transaction takes tens of milliseconds
_NUMBERS_PER_QUERY: Final = 5000
_PROGRESS_S: Final = 10  # between two lines on the progress


@dataclass(frozen=True, slots=True)
class Chosen:
    """The images to judge: a period of judgement as :func:`inspector.times.instants` gives it, and more."""

    period: tuple[int, int]
    verdict: Verdict | None = None  # the station's
    part: str | None = None
    limit: int | None = None  # so many images at most, the oldest first


@dataclass(slots=True)
class Rejudged:
    """Counts of images."""

    judged: int = 0
    failed: int = 0  # could not be read for now, and have no row: a later run tries again
    changed: int = 0  # of judged: another verdict than the station's
    skipped: Counter[str] = field(default_factory=Counter)  # recorded without a verdict, by reason
    seconds: float = 0.0

    @property
    def done(self) -> int:
        """All images that were looked at."""
        return self.judged + self.failed + self.skipped.total()

    @property
    def images_per_second(self) -> float:
        """Judged images."""
        return self.judged / self.seconds if self.seconds else 0.0


@dataclass(frozen=True, slots=True)
class Places:
    """The station whose archive is read."""

    station: str
    drop_folder: Path
    archive_folder: Path
    quarantine_folder: Path  # with the daemon's lock


def rejudge(
    store: Store,
    url: URL | str,
    opinion: SecondOpinion,
    chosen: Chosen,
    places: Places,
    *,
    workers: int,
    batch_size: int,
) -> Rejudged:
    """Judge the chosen images of a station that have no row of this artifact yet, the oldest first.

    Args:
        store: the station's ledger.
        url: the same database, for reading.
        opinion: the other artifact.
        chosen: the images.
        places: the station's folders.
        workers: threads that read and judge.
        batch_size: images judged together.

    Raises:
        FolderError: the archive is empty, as if its disk were not mounted.
        StationError: the network or the file server fails; what was recorded stays.
        StoreUnavailable: an outage; what was recorded stays.
    """
    began, result = time.monotonic(), Rejudged()
    run, in_force = f"rejudge {iso(time.time_ns() // 1000, UTC)}", opinion.register(store)
    query = partial(_waiting, places.station, chosen, in_force)
    with database.reading(url) as readers, ThreadPoolExecutor(workers, "rejudge") as pool:
        count, numbers = _extent(readers, query())
        if count:
            _require_archive(places.archive_folder)
        total = min(count, chosen.limit or count)
        progress = _Progress(total, began)
        for page in _pages(readers, query(by_number=True), numbers, total):
            images = [Archived(row.id, row.sha256, row.archive_path) for row in page]
            batches = [images[start : start + batch_size] for start in range(0, len(images), batch_size)]
            rows: list[Rejudgement] = []
            unread: list[Unread] = []
            beside_daemon = locks.holder(places.quarantine_folder / locks.DAEMON_LOCK) is not None
            for more, others in pool.map(partial(_judge, opinion, beside_daemon), batches):
                rows += more
                unread += others
            rows += _gone(readers, places, unread, page, result)
            if rows:
                store.record_rejudgements(rows, run, in_force)
            _count(rows, page, result)
            progress.report(result.done)
    result.seconds = time.monotonic() - began
    return result


def _judge(
    opinion: SecondOpinion, beside_daemon: bool, images: Sequence[Archived]
) -> tuple[list[Rejudgement], list[Unread]]:
    """Judge a batch; beside a daemon the thread gets, for good, only the time that nobody else wants."""
    if beside_daemon:
        with contextlib.suppress(OSError):  # Linux derives the priority at the disk from this one
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    return opinion.on(images)


def _count(rows: Sequence[Rejudgement], page: Sequence[Any], result: Rejudged) -> None:
    said = {row.id: row.verdict for row in page}
    for row in rows:
        if row.judgement is None:
            result.skipped[str(row.reason)] += 1
        else:
            result.judged += 1
            result.changed += row.judgement.verdict.value != said[row.inspection]


# --- the images ----------------------------------------------------------------------------------------


def _waiting(station: str, chosen: Chosen, in_force: InForce, *, by_number: bool = False) -> sa.Select[Any]:
    """Return a query for the chosen images without a row of this artifact.

    With ``by_number`` it uses no index on the station or the time: to read a range of numbers SQLite would
    go through the whole period.
    """
    c = inspection.c
    known = sa.exists().where(
        rejudgement.c.inspection_id == c.id, rejudgement.c.model_id == in_force.model_id
    )
    here = sa.select(stations.c.id).where(stations.c.name == station).scalar_subquery()
    station_id, at = (column + 0 if by_number else column for column in (c.station_id, c.inspected_us))
    query = sa.select(c.id, c.sha256, c.archive_path, c.source_name, c.verdict).where(
        station_id == here, at >= chosen.period[0], at < chosen.period[1], ~known
    )
    if chosen.verdict:
        query = query.where(c.verdict == chosen.verdict.value)
    return query.where(c.part == chosen.part) if chosen.part else query


def _extent(readers: sa.Engine, query: sa.Select[Any]) -> tuple[int, range]:
    """Return how many images there are, and the numbers among which they are."""
    number = inspection.c.id
    counted = query.with_only_columns(sa.func.count(), sa.func.min(number), sa.func.max(number))
    with database.transaction(readers) as connection:
        count, first, last = connection.execute(counted).one()
    return count, range(first, last + 1) if count else range(0)


def _pages(readers: sa.Engine, query: sa.Select[Any], numbers: range, most: int) -> Iterator[Sequence[Any]]:
    """Yield at most so many images in the order of their numbers; a few thousand at a time are in memory."""
    number, rows = inspection.c.id, list[Any]()
    for start in numbers[::_NUMBERS_PER_QUERY]:
        some = query.where(number >= start, number < start + _NUMBERS_PER_QUERY, number < numbers.stop)
        with database.transaction(readers) as connection:
            rows += connection.execute(some.order_by(number)).all()[: most - len(rows)]
        while len(rows) >= _IMAGES_PER_PAGE:
            yield rows[:_IMAGES_PER_PAGE]
            most -= _IMAGES_PER_PAGE
            del rows[:_IMAGES_PER_PAGE]
        if len(rows) == most:
            break
    if rows:
        yield rows


# --- images without a file ------------------------------------------------------------------------------


def _gone(
    readers: sa.Engine, places: Places, unread: Sequence[Unread], page: Sequence[Any], result: Rejudged
) -> list[Rejudgement]:
    """Return rows for images whose file is gone for good; count and log those that may be read later."""
    vanished = [item.image.path for item in unread if item.error.reason == VANISHED]
    pruned = _pruned(readers, places.station, vanished) if vanished else set()
    names = {row.id: row.source_name for row in page}
    rows = []
    for item in unread:
        image, text = item.image, str(item.error)
        if image.path in pruned:
            rows.append(Rejudgement(image.inspection, None, "pruned"))
            continue
        if item.error.reason == VANISHED:
            if not _is_on_its_way(places, image.path, names[image.inspection]):
                _require_archive(places.archive_folder)
                rows.append(Rejudgement(image.inspection, None, "missing"))
                continue
            text = "is on its way from the drop folder"
        log.warning("%s: %s; run it again for this image", image.path, text)
        result.failed += 1
    return rows


def _pruned(readers: sa.Engine, station: str, paths: Sequence[str]) -> set[str]:
    a = arrival.c
    here = sa.select(stations.c.id).where(stations.c.name == station).scalar_subquery()
    query = sa.select(a.path).where(
        a.station_id == here, a.path.in_(paths), a.outcome == Outcome.PRUNED, a.inspection_id.is_not(None)
    )
    with database.transaction(readers) as connection:
        return set(connection.scalars(query))


def _is_on_its_way(places: Places, path: str, source_name: str) -> bool:
    """Whether the daemon has recorded the file and not moved it yet, or has moved it a moment ago."""
    waits = os.path.lexists(places.drop_folder / file_names.to_path(source_name))
    return waits or os.path.lexists(places.archive_folder / path)


def _require_archive(folder: Path) -> None:
    """Refuse to call images missing if it is the whole archive that is missing."""
    try:
        is_empty = next(folder.iterdir(), None) is None
    except OSError as error:
        raise FolderError(f"{folder}: {error.strerror}; mount or correct archive_folder") from None
    if is_empty:
        raise FolderError(f"{folder}: is empty, and the database has images in it; is its disk mounted?")


class _Progress:
    """A line in the log after the first page, and then every few seconds."""

    def __init__(self, total: int, began: float) -> None:
        self._total, self._began, self._due = total, began, began

    def report(self, done: int) -> None:
        now = time.monotonic()
        if now < self._due:
            return
        self._due, speed = now + _PROGRESS_S, done / (now - self._began)
        left = timedelta(seconds=round((self._total - done) / speed)) if speed else "unknown time"
        log.info("rejudge: %d of %d images, %.1f images/s, %s left", done, self._total, speed, left)
