"""Reviewed images as a data set for ``weld-train --data``: copies with the classes that people gave."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from pathlib import Path, PurePosixPath
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import URL

from inspector import locks, times
from inspector.errors import StationError, UsageError
from inspector.ledger import database
from inspector.ledger.schema import inspection, model, review
from inspector.ledger.schema import station as stations
from inspector.records import Verdict
from inspector.review.label_table import LabelTable
from inspector.review.labels import Taught, label_of, limited, run_of

_ROWS_AT_ONCE = 10_000  # fetched from the database


@dataclass(frozen=True, slots=True)
class Selection:
    """The images to export.

    ``since`` and ``until`` bound the judgement, see :func:`inspector.times.instants`; ``part`` is one part.
    ``final`` takes the station's verdict where no person decided. The limits are those of
    :func:`inspector.review.labels.limited`.
    """

    station: str
    since: str | None = None
    until: str | None = None
    part: str | None = None
    zone: tzinfo = UTC
    final: bool = False
    per_seam: int | None = None
    per_class: int | None = None


@dataclass(slots=True)
class Exported:
    """Counts of the selected images; ``details`` has a line for each that changed or could not be copied."""

    exported: int = 0  # copied
    unchanged: int = 0  # in the folder already
    relabelled: int = 0  # in the folder already, under another class until now
    withdrawn: int = 0  # in the folder until now; a person is undecided since
    repeated: int = 0  # the same bytes again: exported once, with the latest verdict
    undecided: int = 0  # no verdict: the person could not decide, or nobody was asked
    unlabelled: int = 0  # decided, but the class is not known
    limited: int = 0  # left out by the limits
    missing: int = 0  # the file is not at the path in the ledger
    changed: int = 0  # its bytes differ from those that were judged
    details: list[str] = field(default_factory=list)


def export(
    url: URL | str, out: Path, wanted: Selection, *, archive_folder: Path, add: bool = False
) -> Exported:
    """Copy a station's images to a folder with a ``labels.csv`` of ``path,label,run`` and more columns.

    The label is the class that the person named. If they named none, it is the station's class if they agreed
    with it, or the accepted class if they passed the image and there is only one. The run keeps near-copies
    together in a split: frames of one pass over a seam, else of one day. ``decided`` is when the person said
    so, by which ``weld-train`` finds the later of two labels. A new folder appears only when it is complete.

    Args:
        url: the quality database.
        out: the folder to create; it must be empty or not exist, except with ``add``.
        wanted: the images.
        archive_folder: the archive of that station.
        add: add to a folder that an export made. Images in it are not copied again; their labels are
            brought up to date.

    Raises:
        UsageError: a bad date, a folder that is not empty or not an export's, or nothing to export.
        StoreUnavailable: the server does not answer.
        StationError: the copies cannot be written, or another export adds to the folder.
    """
    period = times.instants(wanted.since, wanted.until, wanted.zone)
    exists = out.exists() and (not out.is_dir() or any(out.iterdir()))
    if exists and not add:
        raise UsageError(f"--out {out}: exists already; name a new folder, or add to an export with --add")
    with locks.export_lock(out) if exists and out.is_dir() else contextlib.nullcontext():
        return _export(url, out, wanted, period, archive_folder, exists=exists)


def _export(
    url: URL | str,
    out: Path,
    wanted: Selection,
    period: tuple[int, int],
    archive_folder: Path,
    *,
    exists: bool,
) -> Exported:
    """Export to a folder that no other export writes to."""
    table = LabelTable.read(out) if exists else LabelTable()
    folder = out if exists else out.with_name(f".{out.name}.unfinished-{os.getpid()}")
    result = Exported()
    try:
        (folder / "images").mkdir(parents=True, exist_ok=True)
        new = _brought_up_to_date(_taught(url, wanted, period, table, result), table, result)
        present = list(_present(new, archive_folder, result))
        chosen = limited(present, per_seam=wanted.per_seam, per_class=wanted.per_class, there=table.counts())
        result.limited = len(present) - len(chosen)
        for image in sorted(chosen, key=lambda image: image.inspection):
            _copy(image, archive_folder, folder, table, result)
        if not table.rows:
            raise UsageError(f"no data: no image with a known class to export ({_counts_text(result)})")
        table.write(folder)
        if not exists:
            folder.replace(out)
    except OSError as error:
        raise StationError(f"--out {out}: cannot be written: {error}") from None
    finally:
        if not exists:
            shutil.rmtree(folder, ignore_errors=True)
    return result


def _taught(
    url: URL | str, wanted: Selection, period: tuple[int, int], table: LabelTable, result: Exported
) -> Iterator[Taught]:
    """Give each image with a known class once; rows of which a person is undecided leave the table."""
    seen: set[str] = set()
    with database.reading(url) as engine, database.transaction(engine) as connection:
        database.require_schema(connection)
        roles = {
            number: {known["name"]: known["role"] for known in metadata["classes"]}
            for number, metadata in connection.execute(sa.select(model.c.id, model.c.metadata))
        }
        streamed = connection.execution_options(yield_per=_ROWS_AT_ONCE).execute(_query(wanted, period))
        for row in streamed:
            if row.sha256 in seen:
                result.repeated += 1
                continue
            seen.add(row.sha256)
            label = label_of(row, roles[row.model_id], final=wanted.final)
            person = row.human_verdict in (Verdict.PASS, Verdict.FAIL)
            if label is not None:
                yield Taught(
                    row.id,
                    row.sha256,
                    row.archive_path,
                    label,
                    run_of(row),
                    row.part or "",
                    row.seam or "",
                    row.taken_us,
                    row.reviewed_us if person else None,
                )
                continue
            result.undecided += not person
            result.unlabelled += person
            known = table.rows.get(row.sha256)
            if known and known["decided"] and not person:
                result.withdrawn += 1
                result.details.append(f"{known['path']}: is no longer in the table: a person is undecided")
                del table.rows[row.sha256]


def _query(wanted: Selection, period: tuple[int, int]) -> sa.Select[Any]:
    """Return a query for images with their latest human verdict, the latest review first."""
    newest = sa.select(sa.func.max(review.c.id)).group_by(review.c.inspection_id)
    latest = sa.select(review).where(review.c.id.in_(newest)).subquery()
    image = inspection.c
    query = (
        sa.select(
            image.id,
            image.sha256,
            image.archive_path,
            image.verdict,
            image.label,
            image.station_id,
            image.model_id,
            image.camera,
            image.part,
            image.seam,
            image.pass_no,
            image.local_day,
            image.taken_us,
            latest.c.verdict.label("human_verdict"),
            latest.c.label.label("human_label"),
            latest.c.reviewed_us,
        )
        .join(stations, stations.c.id == image.station_id)
        .join(latest, latest.c.inspection_id == image.id, isouter=wanted.final)
        .where(
            stations.c.name == wanted.station,
            image.inspected_us >= period[0],
            image.inspected_us < period[1],
        )
        .order_by(latest.c.id.is_(None), latest.c.id.desc(), image.id.desc())
    )
    return query.where(image.part == wanted.part) if wanted.part else query


def _brought_up_to_date(images: Iterable[Taught], table: LabelTable, result: Exported) -> Iterator[Taught]:
    """Give the images that the table lacks; the others get the label of now."""
    for image in images:
        if image.sha256 not in table.rows:
            yield image
            continue
        row = table.rows[image.sha256]
        before = row["label"]
        match table.update(image):
            case "relabelled":
                result.relabelled += 1
                result.details.append(f"{row['path']}: was {before}, is now {image.label}")
            case "kept":
                result.unchanged += 1
                result.details.append(f"{row['path']}: stays {before} as in the table, not {image.label}")
            case "unchanged":
                result.unchanged += 1


def _present(images: Iterable[Taught], archive_folder: Path, result: Exported) -> Iterator[Taught]:
    """Give the images whose file is in the archive; a missing one is named if a person decided on it."""
    for image in images:
        source = archive_folder / image.archive_path
        if source.is_file():
            yield image
            continue
        result.missing += 1
        if image.decided_us is not None:
            result.details.append(f"left out: {source}: No such file")


def _copy(image: Taught, archive_folder: Path, folder: Path, table: LabelTable, result: Exported) -> None:
    """Copy an image and add its row, if its bytes are those that were judged."""
    source = archive_folder / image.archive_path
    try:
        content = source.read_bytes()  # read once: the hashed bytes are the written ones
    except OSError as error:
        result.missing += 1
        result.details.append(f"left out: {source}: {error.strerror}")
        return
    if hashlib.sha256(content).hexdigest() != image.sha256:
        result.changed += 1
        result.details.append(f"left out: {source}: its bytes differ from those that were judged")
        return
    name = f"images/{image.inspection}-{image.sha256[:8]}{PurePosixPath(image.archive_path).suffix}"
    temporary = folder / "images" / f".{Path(name).name}.tmp"
    temporary.write_bytes(content)
    temporary.replace(folder / name)
    table.add(image, name)
    result.exported += 1


def _counts_text(result: Exported) -> str:
    counts = {
        "undecided": result.undecided,
        "of no known class": result.unlabelled,
        "missing": result.missing,
        "changed": result.changed,
    }
    return ", ".join(f"{count} {what}" for what, count in counts.items())
