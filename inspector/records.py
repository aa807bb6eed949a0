"""Records that the daemon's stages pass on: intake → decode → classify → record → archive. All are frozen.

Times that end in ``_us`` are UTC epoch microseconds. ``*_monotonic`` are seconds on ``time.monotonic``.
Durations that end in ``_ms`` are milliseconds.
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
    """The station's verdict on one image. An error or a timeout is never a PASS."""

    PASS = "PASS"  # noqa: S105 - a verdict, not a password
    FAIL = "FAIL"
    REVIEW = "REVIEW"


class Place(StrEnum):
    """The folder that a file from the drop folder ends in."""

    ARCHIVE = "archive"
    QUARANTINE = "quarantine"


class Outcome(StrEnum):
    """Why a file left the drop folder (or the archive): the values of ``arrival.outcome``."""

    INSPECTED = "inspected"
    DUPLICATE = "duplicate"
    QUARANTINED = "quarantined"
    REQUEUED = "requeued"
    PRUNED = "pruned"

    @property
    def place(self) -> Place | None:
        """The folder that holds the file afterwards; None if it has left the station's folders."""
        if self in (Outcome.REQUEUED, Outcome.PRUNED):
            return None
        return Place.QUARANTINE if self is Outcome.QUARANTINED else Place.ARCHIVE


@dataclass(frozen=True, slots=True)
class Arrival:
    """A file in the drop folder that is ready to be read (intake → decode).

    ``path`` may hold surrogate escapes, because file names are bytes. ``source_name`` is the database's form
    of it: relative to the drop folder, valid UTF-8, ``%XX`` for other bytes. ``seen_*`` is the time at which
    the file was closed, or first seen if the close was not observed.
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
    """The identity of a file that was read. If any field differs later, the file or its bytes are others."""

    device: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int

    @classmethod
    def of(cls, status: os.stat_result) -> Self:
        """Return the stamp of a file with this ``stat``."""
        return cls(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


@dataclass(frozen=True, slots=True)
class SourceFile:
    """The file as it was read: hash and pixels come from the same bytes."""

    stamp: FileStamp
    sha256: str | None  # None if there are no bytes to hash (FIFO, directory, link)


@dataclass(frozen=True, slots=True)
class RecordedFile:
    """What the ledger says of the file at a path of the archive or the quarantine."""

    source_name: str
    sha256: str | None
    inode: int  # signed 64 bits


@dataclass(frozen=True, slots=True)
class NameParts:
    """The parts of a file name that the setting ``name_pattern`` finds; None for the others."""

    camera: str | None = None
    part: str | None = None
    seam: str | None = None
    camera_time_us: int | None = None


@dataclass(frozen=True, slots=True)
class Judgement:
    """The classifier's answer on one frame (classify → record).

    ``label`` is the class that decided, ``confidence`` its probability. ``probabilities`` are in class order
    and sum to 1. ``heat`` is uint8[h, w], or None if an answer is not a number. ``reason`` says why the
    verdict is REVIEW (``uncertain``, ``novel``, ``blank``, ``saturated``), else None.
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
    """Milliseconds of one image: wait (close → reading), decode and prepare, share of inference, total."""

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
    """A file delivered again, with the same name and bytes. Its first judgement stays the valid one."""

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
    """The ledger's earlier entries for ``(station, source_name, sha256)``.

    ``paths`` are the final paths in its arrivals, oldest first. A path without a file is the place to which
    the daemon was moving this file when it died.
    """

    inspection: int | None  # None: the earlier arrivals were quarantined
    paths: tuple[tuple[Outcome, str], ...]


@dataclass(frozen=True, slots=True)
class ArtifactInUse:
    """The network that judges, described for people and for the metrics."""

    name: str
    version: str
    sha256: str

    def __str__(self) -> str:
        return f"{self.name} {self.version} ({self.sha256[:8]})"


@dataclass(frozen=True, slots=True)
class InForce:
    """Station, network and settings in force: rows written at start and on reload, for each inspection."""

    station: str
    model_id: int
    settings_id: int
    artifact_sha256: str  # of that model, in hex digits: a restored database may give its number to another
    settings_sha256: str  # of those settings


@dataclass(frozen=True, slots=True)
class Review:
    """A person's verdict on one inspected image.

    ``key`` names the act, such as a press of a key: however often it is sent, it is one row. A verdict
    without a key adds no row if it repeats the latest one of its image.
    """

    inspection: int
    reviewer: str
    verdict: Verdict  # REVIEW: the person could not decide
    label: str | None = None  # the class, if the person named one
    note: str | None = None
    key: str | None = None
    is_blind: bool | None = None  # True: given before the person saw the station's verdict; None: not known


@dataclass(frozen=True, slots=True)
class SeamReview:
    """A person's verdict on one pass over a seam, as a whole."""

    inspection: int  # the newest frame of the pass that the person saw: a PASS holds for no later one
    reviewer: str
    verdict: Verdict  # REVIEW: the person could not decide
    note: str | None = None
    key: str | None = None  # see Review


@dataclass(frozen=True, slots=True)
class SignalNote:
    """A person's note on a signal of a chart: the cause, and what was done."""

    report: str  # the report that shows the signal, such as p_chart
    signal: str  # its key in the report signals
    person: str
    cause: str
    action: str
    key: str  # see Review


@dataclass(frozen=True, slots=True)
class Rejudgement:
    """Another artifact's judgement of an inspected image, or why there is none."""

    inspection: int
    judgement: Judgement | None  # None: there is no image to judge
    reason: str | None = None  # then: pruned, missing, altered, or a reason of inspector.imaging.decoder


Json = dict[str, Any]
