"""What a reload may change, as one thing: read, judged, named and batched by it, until the next one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from inspector.ledger.store import Store
from inspector.network.classifier import Classifier
from inspector.records import ArtifactInUse, FileStamp, InForce
from inspector.station.reading import Limits
from inspector.station.recording import Recorder


@dataclass(frozen=True, slots=True)
class Pace:
    """How the work is cut and timed."""

    batch_size: int  # frames judged at once
    batch_wait_s: float  # a frame waits this long for company while the network is busy
    threads: int  # workers, which decode and judge; a reload keeps them
    drain_s: float  # to finish what was taken when told to stop


@dataclass(frozen=True, slots=True)
class InstalledFile:
    """The artifact's file as it was loaded. The network itself is in memory and goes on without it."""

    path: Path
    stamp: FileStamp

    def trouble(self) -> str | None:
        """Why the next start would not judge as this one does, or None."""
        try:
            now = FileStamp.of(self.path.stat())
        except OSError as error:
            return f"{self.path}: {error.strerror}; put it back before the next start"
        if (now.inode, now.size, now.mtime_ns) != (self.stamp.inode, self.stamp.size, self.stamp.mtime_ns):
            return f"{self.path} has changed on disk; reload, or put the old one back"
        return None


@dataclass(frozen=True, slots=True)
class Rules:
    """Proved and warm: from here on nothing of it can fail but the database."""

    artifact: ArtifactInUse
    artifact_file: InstalledFile
    limits: Limits  # what is read at all
    classifier: Classifier  # the network with its thresholds
    recorder: Recorder  # calendar and naming pattern
    pace: Pace
    register: Callable[
        [Store], InForce
    ]  # writes them down as in force; the rows that each inspection refers to
