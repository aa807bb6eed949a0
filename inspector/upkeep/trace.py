"""The life of one image: file, times, artifact, settings, verdicts, and its bytes today. It only reads."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, tzinfo
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import URL

from inspector import file_names
from inspector.errors import UsageError
from inspector.ledger import database
from inspector.ledger.schema import (
    arrival,
    audit_sample,
    model,
    quarantine,
    rejudgement,
    review,
    seam_review,
    settings,
)
from inspector.ledger.schema import inspection as inspections
from inspector.ledger.schema import station as stations
from inspector.records import Json, Outcome
from inspector.times import iso

MATCHES = "is there, its bytes match"
CHANGED = "is there, but its BYTES HAVE CHANGED"


@dataclass(frozen=True, slots=True)
class Folders:
    """The folders of one station: this machine can read only its files."""

    station: str
    drop: Path
    archive: Path
    quarantine: Path
    zone: tzinfo = UTC


def trace(
    url: URL | str,
    folders: Folders,
    *,
    file: Path | None = None,
    part: str | None = None,
    inspection: int | None = None,
) -> list[Json]:
    """Return every life that matches, the oldest first. Give one of ``file``, ``part`` and ``inspection``.

    Args:
        url: the quality database.
        folders: the station whose files are read.
        file: an image. It is found by its bytes under any name, and by its path in the archive or quarantine
            with any bytes.
        part: every image of this part.
        inspection: one image.

    Raises:
        UsageError: not exactly one is given, the file cannot be read, or the database knows no such image.
        SchemaError: the database lacks the schema.
        StoreUnavailable: the server does not answer.
    """
    if sum(given is not None for given in (file, part, inspection)) != 1:
        raise UsageError("give an image file, or --part, or --id, and only one of them")
    with database.reading(url) as engine, database.transaction(engine) as connection:
        database.require_schema(connection)
        refused: list[int] = []
        if file is not None:
            wanted, refused = _of_file(connection, folders, file)
        elif part is not None:
            wanted = _ids(connection, inspections.c.part == part)
        else:
            wanted = _ids(connection, inspections.c.id == inspection)
        lives = [_life_of_inspected(connection, folders, found) for found in wanted]
        lives += [_life_of_quarantined(connection, folders, row) for row in refused]
    if not lives:
        asked = (
            file if file is not None else f"part '{part}'" if part is not None else f"inspection {inspection}"
        )
        raise UsageError(f"no data: the database knows no image of {asked}")
    return lives


def _ids(connection: sa.Connection, condition: sa.ColumnElement[bool]) -> list[int]:
    query = sa.select(inspections.c.id).where(condition).order_by(inspections.c.taken_us, inspections.c.id)
    return list(connection.scalars(query))


def _of_file(connection: sa.Connection, folders: Folders, file: Path) -> tuple[list[int], list[int]]:
    """Return the inspections and quarantine rows with a file's bytes or with its path."""
    try:
        digest = _sha256(file)
    except OSError as error:
        raise UsageError(f"{file}: cannot be read: {error.strerror}") from None
    every = sa.select(stations.c.id)  # the indexes begin with the station
    firsts = sa.select(inspections.c.id).where(
        inspections.c.station_id.in_(every),
        inspections.c.sha256 == digest,
        inspections.c.duplicate_of.is_(None),
    )
    ids = set(_ids(connection, inspections.c.id.in_(firsts) | inspections.c.duplicate_of.in_(firsts)))
    refused = set(connection.scalars(sa.select(quarantine.c.id).where(quarantine.c.sha256 == digest)))
    path = file.resolve()
    for root, column, found in (
        (folders.archive, arrival.c.inspection_id, ids),
        (folders.quarantine, arrival.c.quarantine_id, refused),
    ):
        if path.is_relative_to(root.resolve()):
            matching = sa.select(column).where(
                arrival.c.station_id.in_(every.where(stations.c.name == folders.station)),
                # A recorded path is text as it is: the names in it were escaped when it was made.
                arrival.c.path == os.fsencode(path.relative_to(root.resolve())).decode(errors="replace"),
                column.is_not(None),
            )
            found.update(connection.scalars(matching))
    return _ids(connection, inspections.c.id.in_(ids)), sorted(refused)


def _life_of_inspected(connection: sa.Connection, folders: Folders, inspection: int) -> Json:
    table = inspections
    query = sa.select(table, stations.c.name.label("station")).join(
        stations, stations.c.id == table.c.station_id
    )
    row = connection.execute(query.where(table.c.id == inspection)).mappings().one()
    artifact_row = connection.execute(sa.select(model).where(model.c.id == row["model_id"])).mappings().one()
    settings_row = (
        connection.execute(sa.select(settings).where(settings.c.id == row["settings_id"])).mappings().one()
    )
    content = dict(settings_row["content"])
    thresholds = content.pop("thresholds", None)
    reviews = connection.execute(
        sa.select(review).where(review.c.inspection_id == inspection).order_by(review.c.id)
    ).mappings()
    sample = connection.execute(
        sa.select(audit_sample).where(audit_sample.c.inspection_id == inspection)
    ).mappings()
    zone = folders.zone
    plain = ("id", "station", "source_name", "sha256", "duplicate_of", "camera", "part", "seam", "pass_no")
    judged = ("verdict", "label", "confidence", "reason", "novelty", "probabilities")
    timed = ("wait_ms", "decode_ms", "infer_ms", "total_ms", "batch_size")
    return {
        "inspection": {key: row[key] for key in plain},
        "times": {
            **{key: iso(row[f"{key}_us"], zone) for key in ("camera_time", "seen", "inspected")},
            **{key: row[key] for key in ("local_day", "shift", *timed)},
        },
        "station_said": {key: row[key] for key in judged},
        "artifact": {key: artifact_row[key] for key in ("name", "version", "artifact_sha256")},
        "training_record": dict(artifact_row["metadata"]),
        "thresholds": thresholds,
        "settings": content,
        "reviews": [_review(review_row, zone) for review_row in reviews],
        "final_verdict": _final_verdict(connection, inspection),
        "seam_reviews": [_review(review_row, zone) for review_row in _seam_reviews(connection, row)],
        "audit_samples": [
            {"drawn": iso(a["drawn_us"], zone), "seed": a["seed"], "population": a["population"]}
            for a in sample
        ],
        "rejudgements": _rejudgements(connection, inspection, zone),
        "files": _files(connection, folders, arrival.c.inspection_id == inspection, row),
    }


def _rejudgements(connection: sa.Connection, inspection: int, zone: tzinfo) -> list[Json]:
    query = (
        sa.select(rejudgement, model.c.name, model.c.version)
        .join(model, model.c.id == rejudgement.c.model_id)
        .where(rejudgement.c.inspection_id == inspection)
        .order_by(rejudgement.c.id)
    )
    said = ("name", "version", "verdict", "label", "confidence", "reason", "run")
    return [
        {"at": iso(row["judged_us"], zone)} | {key: row[key] for key in said}
        for row in connection.execute(query).mappings()
    ]


def _review(review_row: sa.RowMapping, zone: tzinfo) -> Json:
    words = {key: review_row[key] for key in ("reviewer", "verdict", "label", "note") if key in review_row}
    return {"at": iso(review_row["reviewed_us"], zone)} | words


def _final_verdict(connection: sa.Connection, inspection: int) -> Json:
    view = sa.table("v_inspection", sa.column("id"), sa.column("final_verdict"))
    query = sa.select(view.c.final_verdict).where(view.c.id == inspection)
    return {"verdict": connection.scalar(query)}


def _seam_reviews(connection: sa.Connection, row: sa.RowMapping) -> Sequence[sa.RowMapping]:
    """Return the human verdicts on the pass over a seam that an image belongs to, the oldest first."""
    if row["part"] is None:
        return []
    keys = ("station_id", "part", "seam", "pass_no")
    same_pass = [inspections.c[key].is_not_distinct_from(row[key]) for key in keys]
    query = sa.select(seam_review).join(inspections, inspections.c.id == seam_review.c.inspection_id)
    return connection.execute(query.where(*same_pass).order_by(seam_review.c.id)).mappings().all()


def _life_of_quarantined(connection: sa.Connection, folders: Folders, quarantine_row: int) -> Json:
    query = sa.select(quarantine, stations.c.name.label("station")).join(
        stations, stations.c.id == quarantine.c.station_id
    )
    row = connection.execute(query.where(quarantine.c.id == quarantine_row)).mappings().one()
    plain = ("id", "station", "source_name", "sha256", "reason", "detail")
    return {
        "quarantine": {key: row[key] for key in plain},
        "times": {"quarantined": iso(row["quarantined_us"], folders.zone)},
        "files": _files(connection, folders, arrival.c.quarantine_id == quarantine_row, row),
    }


def _files(
    connection: sa.Connection, folders: Folders, condition: sa.ColumnElement[bool], row: sa.RowMapping
) -> list[Json]:
    """Return every file that arrived as this image, with its state now."""
    here = arrival.c.station_id == row["station_id"]  # the index on names begins with the station
    named = arrival.c.source_name == row["source_name"]
    query = sa.select(arrival).where(here, named, condition).order_by(arrival.c.id)
    arrivals = connection.execute(query).mappings().all()
    removals = [a for a in arrivals if a["outcome"] in (Outcome.PRUNED, Outcome.REQUEUED)]

    def removed(a: sa.RowMapping) -> Outcome | None:
        """Return how a file left its path, to which another file may have moved since then."""
        later = (r["outcome"] for r in removals if r["path"] == a["path"] and r["id"] > a["id"])
        return Outcome(found) if (found := next(later, None)) else None

    return [
        {
            "arrived": iso(a["seen_us"], folders.zone),
            "outcome": a["outcome"],
            "path": a["path"],
            "now": _now(folders, row, a, removed(a)),
        }
        for a in arrivals
        if a not in removals
    ]


def _now(folders: Folders, row: sa.RowMapping, a: sa.RowMapping, removed: Outcome | None) -> str:
    """Return where a file is, and whether its bytes are those that were read."""
    if removed:
        return removed.value
    if row["station"] != folders.station:
        return f"at station {row['station']}: look there"
    place = (folders.archive if a["quarantine_id"] is None else folders.quarantine) / a["path"]
    if place.is_symlink() or place.exists():
        return _compared(place, a["sha256"])
    dropped = folders.drop / file_names.to_path(a["source_name"])
    is_same = dropped.is_file() and _compared(dropped, a["sha256"]) == MATCHES
    return "waits in the drop folder to be moved" if is_same else "MISSING"


def _compared(path: Path, sha256: str | None) -> str:
    try:
        return MATCHES if sha256 is None or _sha256(path) == sha256 else CHANGED
    except OSError as error:
        return f"is there, but cannot be read: {error.strerror}"


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


# --- for people ------------------------------------------------------------------------------------------

_TRAINING_KEYS = ("created", "recipe", "metrics", "quantization", "git_commit", "torch_version")


def render(lives: Sequence[Json]) -> str:
    """Return the lives as text, one paragraph each, with a part of the training record."""
    return "\n\n".join("\n".join(_lines(life)) for life in lives)


def _lines(life: Json) -> Iterator[str]:
    for title, content in life.items():
        items = content if isinstance(content, list) else [content or {}]
        if title == "training_record":
            items = [{key: content[key] for key in _TRAINING_KEYS if key in content}]
        for number, item in enumerate(items or [{}]):
            text = ", ".join(
                f"{key} {_value_text(value)}" for key, value in item.items() if value is not None
            )
            yield f"{title.replace('_', ' ') if not number else '':<16} {text or 'none'}"


def _value_text(value: Any) -> str:
    """Return a value as text; of nested values only their plain fields (--json has all)."""
    if isinstance(value, dict):
        plain = {key: one for key, one in value.items() if not isinstance(one, dict | list)}
        return f"({', '.join(f'{key} {_value_text(one)}' for key, one in plain.items())})"
    if isinstance(value, float):
        return f"{value:.4g}"
    # Text that would break the lines is quoted.
    return repr(value) if isinstance(value, str) and not value.isprintable() else str(value)
