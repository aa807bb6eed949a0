"""Reviewed images as a data set for ``weld-train --data``: copies with the classes that people gave."""

from __future__ import annotations

import csv
import hashlib
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from pathlib import Path, PurePosixPath
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import URL

from inspector import times
from inspector.errors import StationError, UsageError
from inspector.ledger import database
from inspector.ledger.schema import inspection, model, review
from inspector.ledger.schema import station as stations
from inspector.records import Verdict

LABELS = "labels.csv"


@dataclass(slots=True)
class Exported:
    """Counts of the reviewed images; ``details`` has a line for each that could not be copied."""

    exported: int = 0
    repeated: int = 0  # the same bytes again: exported once, with the latest verdict
    undecided: int = 0  # the person could not decide
    unlabelled: int = 0  # decided, but the class is not known
    missing: int = 0  # the file is not at the path in the ledger
    changed: int = 0  # its bytes differ from those that were judged
    details: list[str] = field(default_factory=list)


def export(
    url: URL | str,
    out: Path,
    *,
    station: str,
    archive_folder: Path,
    since: str | None = None,
    until: str | None = None,
    part: str | None = None,
    zone: tzinfo = UTC,
) -> Exported:
    """Copy one station's reviewed images to a new folder with a ``labels.csv`` of ``path,label,run``.

    The label is the class that the person named. If they named none, it is the station's class if they agreed
    with it, or the accepted class if they passed the image and there is only one. The run keeps near-copies
    together in a split: frames of one pass over a seam, else of one day. The folder appears only when it is
    complete.

    Args:
        url: the quality database.
        out: the folder to create; it must be empty or not exist.
        station: the station that judged the images.
        archive_folder: the archive of that station.
        since: start of the judgements, see :func:`inspector.times.instants`.
        until: the same.
        part: only this one; None: all.
        zone: the station's time zone.

    Raises:
        UsageError: a bad date, a folder that is not empty, or nothing to export.
        StoreUnavailable: the server does not answer.
        StationError: the copies cannot be written.
    """
    first, last = times.instants(since, until, zone)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"--out {out}: exists already; name a new folder")
    unfinished = out.with_name(f".{out.name}.unfinished-{os.getpid()}")
    result = Exported()
    try:
        (unfinished / "images").mkdir(parents=True)
        with database.reading(url) as engine, database.transaction(engine) as connection:
            database.require_schema(connection)
            rows = connection.execute(_reviewed(station, first, last, part)).all()
        with (unfinished / LABELS).open("w", encoding="utf-8-sig", newline="") as stream:
            table = csv.writer(stream, lineterminator="\n")
            table.writerow(["path", "label", "run"])
            table.writerows(_copied(rows, archive_folder, unfinished, result))
        if not result.exported:
            raise UsageError(
                f"no data: no reviewed image with a known class to export ({_counts_text(result)})"
            )
        unfinished.replace(out)
    except OSError as error:
        raise StationError(f"--out {out}: cannot be written: {error}") from None
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return result


def _reviewed(station: str, first: int, last: int, part: str | None) -> sa.Select[Any]:
    """Return a query for reviewed images with their latest human verdict, the latest review first."""
    newest = sa.select(sa.func.max(review.c.id)).group_by(review.c.inspection_id)
    query = (
        sa.select(
            inspection,
            review.c.verdict.label("human_verdict"),
            review.c.label.label("human_label"),
            model.c.metadata,
        )
        .join(review, review.c.inspection_id == inspection.c.id)
        .join(model, model.c.id == inspection.c.model_id)
        .join(stations, stations.c.id == inspection.c.station_id)
        .where(
            review.c.id.in_(newest),
            stations.c.name == station,
            inspection.c.inspected_us >= first,
            inspection.c.inspected_us < last,
        )
        .order_by(review.c.id.desc())
    )
    return query.where(inspection.c.part == part) if part else query


def _copied(
    rows: Sequence[sa.Row[Any]], archive_folder: Path, out: Path, result: Exported
) -> Iterator[tuple[str, str, str]]:
    """Copy each image once, and give its row of the table."""
    seen: set[str] = set()
    for row in rows:
        if row.sha256 in seen:
            result.repeated += 1
            continue
        seen.add(row.sha256)
        label = label_of(row)
        if label is None:
            undecided = row.human_verdict == Verdict.REVIEW
            result.undecided += undecided
            result.unlabelled += not undecided
            continue
        name = f"images/{row.id}-{row.sha256[:8]}{PurePosixPath(row.archive_path).suffix}"
        source = archive_folder / row.archive_path
        try:
            content = source.read_bytes()  # read once: the hashed bytes are the written ones
        except OSError as error:
            result.missing += 1
            result.details.append(f"{source}: {error.strerror}")
            continue
        if hashlib.sha256(content).hexdigest() != row.sha256:
            result.changed += 1
            result.details.append(f"{source}: its bytes differ from those that were judged")
            continue
        (out / name).write_bytes(content)
        result.exported += 1
        yield name, label, run_of(row)


def label_of(row: Any) -> str | None:
    """Return the class to teach, or None if the person's verdict does not determine it."""
    if row.human_verdict == Verdict.REVIEW:
        return None
    if row.human_label is not None:
        return str(row.human_label)
    roles = {known["name"]: known["role"] for known in row.metadata["classes"]}
    accepted = [name for name, role in roles.items() if role == "accept"]
    if row.human_verdict == Verdict.PASS:
        if roles.get(row.label) == "accept":
            return str(row.label)
        return accepted[0] if len(accepted) == 1 else None
    agreed = row.verdict == Verdict.FAIL and roles.get(row.label) == "defect"
    return str(row.label) if agreed else None


def run_of(row: Any) -> str:
    """Return what near-copies have in common: station, part, seam and pass, else the day."""
    where = [row.camera, row.part, row.seam, f"pass {row.pass_no}"] if row.part else [row.local_day]
    return " ".join(" ".join(word.split()) for word in (f"station {row.station_id}", *where) if word)


def _counts_text(result: Exported) -> str:
    counts = {
        "undecided": result.undecided,
        "of no known class": result.unlabelled,
        "missing": result.missing,
        "changed": result.changed,
    }
    return ", ".join(f"{count} {what}" for what, count in counts.items())
