"""One frozen type for each arrow in the daemon's story: intake → decode → classify → record → archive.

Times ending in ``_us`` are UTC epoch microseconds; ``*_monotonic`` are seconds on ``time.monotonic``;
durations ending in ``_ms`` are milliseconds.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray


class Verdict(StrEnum):
    """What the station says of one image; an error or a timeout is never a PASS."""

    PASS = "PASS"  # noqa: S105 - a verdict, not a password
    FAIL = "FAIL"
    REVIEW = "REVIEW"


class Place(StrEnum):
    """The folder that a file from the drop folder ends in."""

    ARCHIVE = "archive"
    QUARANTINE = "quarantine"


class Outcome(StrEnum):
    """Why a file left the drop folder (or the archive): the ``arrival`` table's vocabulary."""

    INSPECTED = "inspected"
    DUPLICATE = "duplicate"
    QUARANTINED = "quarantined"
    REQUEUED = "requeued"
    PRUNED = "pruned"

    @property
    def place(self) -> Place | None:
        """Where the file is afterwards; None if it has left the station's folders."""
        if self in (Outcome.REQUEUED, Outcome.PRUNED):
            return None
        return Place.QUARANTINE if self is Outcome.QUARANTINED else Place.ARCHIVE


@dataclass(frozen=True, slots=True)
class Arrival:
    """A file in the drop folder that is ready to be read (intake → decode).

    ``path`` may hold surrogate escapes (file names are bytes); ``source_name`` is what the database
    stores: relative to the drop folder, valid UTF-8, ``%XX`` for bytes that are not.
    ``seen_*`` is the instant of its close where that was seen, else of first sight.
    """

    path: Path
    source_name: str
    seen_us: int
    seen_monotonic: float

    @property
    def drop_folder(self) -> Path:
        """The drop folder, which a setting names; the camera's account may change the folders below it."""
        return self.path.parents[self.source_name.count("/")]


@dataclass(frozen=True, slots=True)
class FileStamp:
    """Which file was read: if any of these differ later, it is another file or other bytes."""

    device: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int

    @classmethod
    def of(cls, status: os.stat_result) -> Self:
        """What ``stat`` tells of a file."""
        return cls(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


@dataclass(frozen=True, slots=True)
class SourceFile:
    """The file as it was read: bytes hashed and decoded are the same bytes."""

    stamp: FileStamp
    sha256: str | None  # None where there are no bytes to hash (FIFO, directory, link)


@dataclass(frozen=True, slots=True)
class NameParts:
    """What the settings' ``name_pattern`` reads from a file name; None where it says nothing."""

    camera: str | None = None
    part: str | None = None
    seam: str | None = None
    camera_time_us: int | None = None


@dataclass(frozen=True, slots=True)
class Judgement:
    """The classifier's word on one frame (classify → record).

    ``label`` is the class that decided, ``confidence`` its probability;
    ``probabilities`` in class order, sums to 1; ``heat`` uint8[h, w] for FAIL and REVIEW, else None;
    ``reason`` says why a REVIEW is one (``uncertain``, ``novel``, ``blank``, ``saturated``), else None.
    """

    verdict: Verdict
    label: str
    confidence: float
    probabilities: dict[str, float]
    novelty: float
    heat: NDArray[np.uint8] | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class Timings:
    """Milliseconds of one image: wait (close → reading), decode with prepare, inference share, total."""

    wait_ms: float
    decode_ms: float
    infer_ms: float
    total_ms: float
    batch_size: int


@dataclass(frozen=True, slots=True)
class Inspected:
    """One judged image, ready for its row (record)."""

    arrival: Arrival
    source: SourceFile
    name: NameParts
    judgement: Judgement
    timings: Timings
    local_day: str  # ISO date in the station's time zone
    shift: str
    shift_day: str  # ISO date of the day on which the shift began
    inspected_us: int
    final_path: str  # relative to the archive folder: the path that the file is about to get
    place: ClassVar[Place] = Place.ARCHIVE


@dataclass(frozen=True, slots=True)
class Duplicate:
    """A file delivered again: same name, same bytes; its first judgement stands."""

    arrival: Arrival
    source: SourceFile
    inspection: int
    recorded_us: int
    final_path: str  # relative to the archive folder
    place: ClassVar[Place] = Place.ARCHIVE


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A file that cannot be inspected, with the reason."""

    arrival: Arrival
    source: SourceFile
    reason: str
    detail: str
    shift: str
    shift_day: str  # ISO date of the day on which the shift began
    recorded_us: int
    final_path: str  # relative to the quarantine folder
    place: ClassVar[Place] = Place.QUARANTINE


@dataclass(frozen=True, slots=True)
class Known:
    """What the ledger already holds on ``(station, source_name, sha256)``.

    ``paths`` are the final paths its arrivals recorded, oldest first: one that has no file yet is the
    place this file was on its way to when the daemon died.
    """

    inspection: int | None  # None: the earlier arrivals were quarantined
    paths: tuple[tuple[Outcome, str], ...]


@dataclass(frozen=True, slots=True)
class ArtifactInUse:
    """Which network judges, for people and for the metrics."""

    name: str
    version: str
    sha256: str

    def __str__(self) -> str:
        return f"{self.name} {self.version} ({self.sha256[:8]})"


@dataclass(frozen=True, slots=True)
class InForce:
    """Rows that say what judged: written at start and on reload, referred to by each inspection."""

    station: str
    model_id: int
    settings_id: int


@dataclass(frozen=True, slots=True)
class Review:
    """A person's word on one inspected image."""

    inspection: int
    reviewer: str
    verdict: Verdict  # REVIEW: they could not tell
    label: str | None = None  # the class, where they named one
    note: str | None = None


Json = dict[str, Any]
