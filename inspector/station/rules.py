"""All that a reload may change, as one object: how images are read, judged, named and batched."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from inspector.ledger.store import Store
from inspector.network.classifier import Classifier
from inspector.records import ArtifactInUse, FileStamp, InForce
from inspector.station.reading import Limits
from inspector.station.recording import Recorder
from inspector.station.second_opinion import SecondOpinion


@dataclass(frozen=True, slots=True)
class Pace:
    """Sizes and times of the work."""

    batch_size: int  # frames judged together
    batch_wait_s: float  # a frame waits this long for others while the network is busy
    threads: int  # workers, which decode and judge; a reload keeps them
    drain_s: float  # to finish the files in work after a request to stop
    shadow_every: int  # the candidate judges every so many images


@dataclass(frozen=True, slots=True)
class InstalledFile:
    """The artifact's file as it was loaded; the network itself is in memory and works without it."""

    path: Path
    stamp: FileStamp

    def trouble(self) -> str | None:
        """Return why the next start would judge by another file than this one, or None."""
        try:
            now = FileStamp.of(self.path.stat())
        except OSError as error:
            return f"{self.path}: {error.strerror}; put it back before the next start"
        if (now.inode, now.size, now.mtime_ns) != (self.stamp.inode, self.stamp.size, self.stamp.mtime_ns):
            return f"{self.path} has changed on disk; reload, or put the old one back"
        return None


@dataclass(frozen=True, slots=True)
class Rules:
    """Rules that are verified and warm; from here on only the database can fail."""

    artifact: ArtifactInUse
    artifact_file: InstalledFile
    limits: Limits  # the files that are read at all
    classifier: Classifier  # the network with its thresholds
    recorder: Recorder  # calendar and naming pattern
    pace: Pace
    register: Callable[[Store], InForce]  # writes the rows that each inspection refers to
    shadow: SecondOpinion | None  # a candidate that judges, too, and decides nothing
    shadow_trouble: str | None  # why there is none, although the settings name one
