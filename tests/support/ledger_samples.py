"""Records like the daemon's, for tests of the ledger and its reports."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import sqlalchemy as sa

from inspector.ledger.schema import inspection
from inspector.ledger.store import Store
from inspector.records import (
    Arrival,
    Duplicate,
    FileStamp,
    InForce,
    Inspected,
    Judgement,
    NameParts,
    Quarantined,
    SourceFile,
    Timings,
    Verdict,
)

START_US = 1_767_600_000_000_000  # 2026-01-05T08:00:00Z
SECOND_US = 1_000_000


def sha(content: str) -> str:
    """Return the hash of a file with this content."""
    return hashlib.sha256(content.encode()).hexdigest()


def source(content: str | None, *, inode: int = 1) -> SourceFile:
    """Return a file that was read; with content None it has no bytes to hash."""
    stamp = FileStamp(device=1, inode=inode, size=len(content or ""), mtime_ns=START_US * 1000, ctime_ns=0)
    return SourceFile(stamp, None if content is None else sha(content))


def arrival(name: str, seen_us: int = START_US) -> Arrival:
    """Return a file that is ready."""
    return Arrival(path=Path("drop") / name, source_name=name, seen_us=seen_us, seen_monotonic=0.0)


def inspected(
    name: str = "a.png",
    content: str | None = None,
    *,
    seen_us: int = START_US,
    part: str | None = None,
    seam: str | None = None,
    camera_time_us: int | None = None,
    verdict: Verdict = Verdict.PASS,
    label: str = "good",
    confidence: float = 0.9,
    milliseconds: tuple[float, float, float, float] = (1.0, 2.0, 3.0, 6.5),
    batch_size: int = 8,
    path: str | None = None,
    inode: int = 1,
    **others: Any,
) -> Inspected:
    """Return a judged image; images of different names differ in their bytes unless ``content`` is given."""
    return Inspected(
        arrival=arrival(name, seen_us),
        source=source(name if content is None else content, inode=inode),
        name=NameParts(part=part, seam=seam, camera_time_us=camera_time_us),
        judgement=Judgement(
            verdict=verdict,
            label=label,
            confidence=confidence,
            probabilities={label: confidence, "another class": 1 - confidence},
            novelty=0.25,
            heat=np.arange(6, dtype=np.uint8).reshape(2, 3),
            reason="uncertain" if verdict is Verdict.REVIEW else None,
        ),
        timings=Timings(*milliseconds, batch_size=batch_size),
        local_day="2026-01-05",
        shift="early",
        shift_day="2026-01-05",
        inspected_us=others.get("inspected_us", seen_us + SECOND_US),
        final_path=path or f"2026-01-05/{verdict.value}/{name}",
    )


def duplicate(of: int, name: str = "a.png", content: str | None = None, *, number: int = 1) -> Duplicate:
    """Return the ``number``-th repeated delivery of a file."""
    return Duplicate(
        arrival=arrival(name),
        source=source(name if content is None else content),
        inspection=of,
        recorded_us=START_US + number * SECOND_US,
        final_path=f"2026-01-05/duplicate/{name}-{number}",
    )


def quarantined(name: str = "bad.png", content: str | None = "bad", **others: Any) -> Quarantined:
    """Return a file without an image."""
    return Quarantined(
        arrival=arrival(name),
        source=source(content, inode=others.get("inode", 1)),
        reason=others.get("reason", "truncated"),
        detail=others.get("detail", "ends after 12 of 20 rows"),
        shift="early",
        shift_day="2026-01-05",
        recorded_us=others.get("recorded_us", START_US),
        final_path=others.get("path", f"2026-01-05/truncated/{name}"),
    )


def in_force(store: Store, artifact: str = "artifact") -> InForce:
    """Return the rows of an artifact and of settings in this store."""
    return store.in_force(
        metadata='{"classes": ["good", "another class"]}',
        artifact_sha256=sha(artifact),
        name="weldnet",
        version="1",
        settings_json='{"batch_size": 8}',
    )


def copy_image(connection: sa.Connection, name: str, **others: Any) -> None:
    """Add the first image once more by SQL, for transactions that stay open, with another name and values."""
    values = {column.name: column for column in inspection.c if column.name != "id"}
    values |= {key: sa.literal(value) for key, value in ({"source_name": name} | others).items()}
    copy = sa.select(*values.values()).where(inspection.c.id == 1)
    connection.execute(inspection.insert().from_select(list(values), copy))
