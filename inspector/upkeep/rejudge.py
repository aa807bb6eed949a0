"""Archived images judged again by another artifact, page by page, beside a station at work.

A page is read by number from the ledger, judged by an engine, and recorded in one transaction. What is
recorded is not judged again, so a run that was killed is continued by the next one. Both engines differ only
in who judges.
"""

from __future__ import annotations

import logging
import os
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import URL

from inspector import file_names
from inspector.ledger import database
from inspector.ledger.store import Store
from inspector.records import InForce, Rejudgement
from inspector.station.archive_places import ArchivePlace
from inspector.station.second_opinion import VANISHED, Archived, Unread
from inspector.times import iso
from inspector.upkeep.chosen_images import Chosen, extent, pages, pruned, unanswered, waiting
from inspector.upkeep.rejudge_engines import Answers, Engine

log = logging.getLogger("weldnet")

_PROGRESS_S: Final = 10  # between two lines on the progress


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
    archive: ArchivePlace


def rejudge(
    store: Store, url: URL | str, in_force: InForce, engine: Engine, *, chosen: Chosen, places: Places
) -> Rejudged:
    """Judge the chosen images of a station that have no row of this artifact yet, the oldest first.

    Args:
        store: the station's ledger.
        url: the same database, for reading.
        in_force: the other artifact, and the settings that it judges by.
        engine: judges pages of images.
        chosen: the images.
        places: the station's folders.

    Raises:
        FolderError: the archive is empty, as if its disk were not mounted.
        StationError: the network or the file server fails; what was recorded stays.
        StoreUnavailable: an outage; what was recorded stays.
    """
    began, result = time.monotonic(), Rejudged()
    run = f"rejudge {iso(time.time_ns() // 1000, UTC)}"
    query = partial(waiting, places.station, chosen, in_force)
    with database.reading(url) as readers:
        count, numbers = extent(readers, query())
        if count:
            places.archive.require()
        total = min(count, chosen.limit or count)
        progress = _Progress(total, began)
        some = _archived(pages(readers, query(by_number=True), numbers, total))
        with closing(engine(some)) as answered:
            for answers in answered:
                known = _known(readers, in_force, answers)
                rows = [row for row in answers.rows if row.inspection in known]
                unread = [item for item in answers.unread if item.image.inspection in known]
                rows += _gone(readers, places, unread, known, result)
                if rows:
                    store.record_rejudgements(rows, run, in_force)
                _count(rows, known, result)
                progress.report(result.done)
    result.seconds = time.monotonic() - began
    return result


def _archived(rows: Iterator[Sequence[Any]]) -> Iterator[list[Archived]]:
    for page in rows:
        yield [Archived(row.id, row.sha256, row.archive_path) for row in page]


def _known(readers: sa.Engine, in_force: InForce, answers: Answers) -> dict[int, Any]:
    """Return the ledger's images, by number, that these answers are about and that have no row yet.

    Answers may be older than this run. Another image may have the number in a database that was restored.
    """
    found = unanswered(readers, in_force, [image.inspection for image in answers.images])
    hashes = {image.inspection: image.sha256 for image in answers.images}
    return {number: row for number, row in found.items() if row.sha256 == hashes[number]}


def _count(rows: Sequence[Rejudgement], known: Mapping[int, Any], result: Rejudged) -> None:
    for row in rows:
        if row.judgement is None:
            result.skipped[str(row.reason)] += 1
        else:
            result.judged += 1
            result.changed += row.judgement.verdict.value != known[row.inspection].verdict


# --- images without a file ------------------------------------------------------------------------------


def _gone(
    readers: sa.Engine, places: Places, unread: Sequence[Unread], known: Mapping[int, Any], result: Rejudged
) -> list[Rejudgement]:
    """Return rows for images whose file is gone for good; count and log those that may be read later."""
    vanished = [item.image.path for item in unread if item.error.reason == VANISHED]
    removed = pruned(readers, places.station, vanished) if vanished else set()
    rows = []
    for item in unread:
        image, text = item.image, str(item.error)
        if image.path in removed:
            rows.append(Rejudgement(image.inspection, None, "pruned"))
            continue
        if item.error.reason == VANISHED:
            if not _is_on_its_way(places, image.path, known[image.inspection].source_name):
                places.archive.require()
                rows.append(Rejudgement(image.inspection, None, "missing"))
                continue
            text = "is on its way from the drop folder"
        log.warning("%s: %s; run it again for this image", image.path, text)
        result.failed += 1
    return rows


def _is_on_its_way(places: Places, path: str, source_name: str) -> bool:
    """Whether the daemon has recorded the file and not moved it yet, or has moved it a moment ago."""
    waits = os.path.lexists(places.drop_folder / file_names.to_path(source_name))
    return waits or places.archive.has(path)


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
