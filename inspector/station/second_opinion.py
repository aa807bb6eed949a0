"""Another artifact's opinion of archived images: it is recorded, and decides nothing.

The bytes are those that the station judged, by the ledger's hash, and they are decoded in the same way. So
the same artifact gives the same answers again, to the last bit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from inspector.errors import ImageError, StationError
from inspector.ledger.store import Store
from inspector.network.classifier import Classifier
from inspector.records import ArtifactInUse, InForce, Rejudgement
from inspector.station.archive_places import ArchivePlace
from inspector.station.reading import Decoded, Limits, decode

VANISHED: Final = "vanished"  # no file is at the recorded path
ALTERED: Final = "altered"  # its bytes are not those that were judged; nothing is quarantined for that
# Troubles of this machine or of the moment: the same image may be judged later.
_PASSING: Final = frozenset({VANISHED, "changing", "unreadable", "no_memory", "not_prepared"})


@dataclass(frozen=True, slots=True)
class Archived:
    """An inspected image, as the ledger describes it."""

    inspection: int
    sha256: str
    path: str  # in the archive folder


@dataclass(frozen=True, slots=True)
class Unread:
    """An image that was not judged for now, and the reason."""

    image: Archived
    error: ImageError


@dataclass(frozen=True, slots=True)
class Judge:
    """A proved artifact with the station's thresholds; safe for several threads."""

    artifact: ArtifactInUse
    classifier: Classifier
    limits: Limits
    archive: ArchivePlace

    def on(self, images: Sequence[Archived]) -> tuple[list[Rejudgement], list[Unread]]:
        """Read and judge images as one batch; return the rows, and the images that have none for now.

        An image whose bytes are not those that were judged, or that cannot be decoded, is a row with the
        reason: another attempt would end alike.

        Raises:
            StationError: the network or the file server fails, which no image is blamed for.
        """
        frames: list[tuple[Archived, Decoded]] = []
        rows: list[Rejudgement] = []
        unread: list[Unread] = []
        for image in images:
            try:
                frames.append((image, self._read(image)))
            except ImageError as error:
                if error.reason in _PASSING:
                    unread.append(Unread(image, error))
                else:
                    rows.append(Rejudgement(image.inspection, None, error.reason))
            except OSError as error:
                raise StationError(f"{self.archive}/{image.path}: {error.strerror or error}") from None
        return rows + self._judged(frames), unread

    def _read(self, image: Archived) -> Decoded:
        data, sha256 = self.archive.read(image.path, self.limits.max_bytes)
        if sha256 != image.sha256:
            raise ImageError(ALTERED, "its bytes are not those that were judged")
        return decode(data, self.limits, self.classifier.prepare)

    def _judged(self, frames: Sequence[tuple[Archived, Decoded]]) -> list[Rejudgement]:
        if not frames:
            return []
        try:
            judgements = self.classifier.judge(
                [frame.prepared for _, frame in frames], [frame.flaw for _, frame in frames]
            )
        except RuntimeError as error:  # torch's own
            said = " ".join(str(error).split())[-200:]
            raise StationError(f"{self.artifact} cannot judge: {said}") from None
        return [
            Rejudgement(image.inspection, judgement)
            for (image, _), judgement in zip(frames, judgements, strict=True)
        ]


@dataclass(frozen=True, slots=True)
class SecondOpinion(Judge):
    """A judge whose answers the station's ledger records."""

    register: Callable[[Store], InForce]  # writes the rows that each rejudgement refers to
