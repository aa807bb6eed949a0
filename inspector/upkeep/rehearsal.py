"""One row of each kind, written as the daemon writes them and taken back: does the database accept them?

A shop's own constraints, triggers and rights show only when a row is written, and then at the first image of
a shift. The rows are as real as they can be: the station's artifact, calendar and, if a file waits, its name.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from pathlib import Path

from inspector import file_names, times
from inspector.errors import ArtifactError, RowRefused, StoreRefused
from inspector.ledger.store import Store
from inspector.network.metadata import ArtifactFile, Metadata
from inspector.records import (
    Arrival,
    FileStamp,
    Inspected,
    Judgement,
    Quarantined,
    SourceFile,
    Timings,
    Verdict,
)
from inspector.settings import Settings


def rehearse(store: Store, settings: Settings, source_name: str) -> None:
    """Try each row.

    Args:
        store: an open ledger; nothing remains in it.
        settings: the station's.
        source_name: the name of an image, to read with ``name_pattern``.

    Raises:
        StoreRefused: the database refuses a row, in its words.
        StoreUnavailable: an outage.
    """
    try:
        file = ArtifactFile.read(settings.artifact, others_may_write=True)  # its code is not run
        about = file.metadata()
    except ArtifactError:  # which its own check reports
        return
    try:
        store.rehearse(
            _rows(settings, about, source_name),
            metadata=about.to_json(),
            artifact_sha256=file.sha256,
            name=about.name,
            version=about.version,
            settings_json=json.dumps(settings.of_an_inspection()),
        )
    except RowRefused as error:
        raise StoreRefused(
            f"{error}; the rows of this station's images will be refused: change the constraint or trigger"
        ) from error


def _rows(settings: Settings, about: Metadata, source_name: str) -> list[Inspected | Quarantined]:
    now_us = time.time_ns() // 1000
    content = f"check {now_us}".encode()
    source = SourceFile(FileStamp(0, 0, len(content), now_us * 1000, 0), hashlib.sha256(content).hexdigest())
    arrival = Arrival(Path(source_name), source_name, seen_us=now_us, seen_monotonic=time.monotonic())
    day, shift, shift_day = times.local_day_and_shift(now_us, settings.zone, settings.shifts)
    pattern = re.compile(settings.name_pattern) if settings.name_pattern else None
    name = file_names.parse(source_name, pattern, settings.zone, now_us)
    share = 1 / len(about.classes)
    judgement = Judgement(
        verdict=Verdict.REVIEW,
        label=about.class_names[0],
        confidence=share,
        probabilities=dict.fromkeys(about.class_names, share),
        novelty=0.0,
        heat=None,
        reason="uncertain",
    )
    inspected = Inspected(
        arrival=arrival,
        source=source,
        name=name,
        judgement=judgement,
        timings=Timings(wait_ms=1.0, decode_ms=1.0, infer_ms=1.0, total_ms=3.0, batch_size=1),
        local_day=day,
        shift=shift,
        shift_day=shift_day,
        inspected_us=now_us,
        final_path=f"{day}/{judgement.verdict}/{source_name}",
    )
    quarantined = Quarantined(
        arrival=arrival,
        source=source,
        reason="corrupt",
        detail="a trial by check",
        shift=shift,
        shift_day=shift_day,
        recorded_us=now_us,
        final_path=f"{day}/corrupt/{source_name}",
    )
    return [inspected, quarantined]
