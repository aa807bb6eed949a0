"""An artifact's answers to labelled frames, without the frames that it learnt from."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from inspector.network.metadata import ArtifactError, ArtifactFile, Metadata
from trainer.data import datasets, joining
from trainer.data.datasets import Frame
from trainer.data.frames import FrameSet, load
from trainer.data.joining import DataSets
from trainer.errors import DataError, Problem
from trainer.network import archives
from trainer.network.student_file import TRAINING_FRAMES
from trainer.run.progress import Progress

log = logging.getLogger(__name__)

_FRAMES_PER_CALL = 8  # the daemon's default batch
_MAX_NAMES_PER_LINE = 3


@dataclass(frozen=True)
class Judged:
    """An artifact's answers to the frames that are left, and the names of those that were left out."""

    probabilities: Tensor  # [N, C]
    novelty: Tensor  # float32[N]
    frames: FrameSet
    learnt_from: list[str] | None  # left out; None if the artifact does not record the frames it learnt from

    def together_with(self, other: Judged) -> tuple[Judged, Judged]:
        """Return both artifacts' answers to the frames that neither learnt from."""
        kept = {frame.name for frame in self.frames.frames} & {frame.name for frame in other.frames.frames}
        left_out = None
        if self.learnt_from is not None and other.learnt_from is not None:
            left_out = sorted({*self.learnt_from, *other.learnt_from})
        return self._only(kept, left_out), other._only(kept, left_out)

    def _only(self, names: Set[str], left_out: list[str] | None) -> Judged:
        kept = [frame.name in names for frame in self.frames.frames]
        rows = torch.tensor(kept, dtype=torch.bool)
        return Judged(self.probabilities[rows], self.novelty[rows], self.frames.only(kept), left_out)


def open_network(file: ArtifactFile) -> torch.jit.ScriptModule:
    """Open an artifact's network, frozen as the station runs it.

    Raises:
        ArtifactError: the artifact is damaged, or does not load on this machine.
    """
    if not archives.is_whole(io.BytesIO(file.data)):
        raise ArtifactError(f"{file.path}: is damaged: a checksum inside it is wrong; compile it again")
    try:
        network = torch.jit.load(io.BytesIO(file.data))  # type: ignore[no-untyped-call]
        frozen: torch.jit.ScriptModule = torch.jit.freeze(network.eval(), preserved_attrs=["prepare"])
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[0][:200]
        raise ArtifactError(
            f"{file.path}: does not load on this machine ({reason}); compile it again"
        ) from None
    return frozen


def artifact_answers(
    network: torch.jit.ScriptModule, images: Tensor, advance: Callable[[float], None] = lambda frames: None
) -> tuple[Tensor, Tensor]:
    """An artifact's probabilities ``[N, C]`` and novelty ``[N]`` of prepared frames ``uint8[N, 1, H, W]``."""
    probabilities, novelty = [], []
    with torch.inference_mode():
        for frames in torch.split(images, _FRAMES_PER_CALL):
            answers = network(frames)
            probabilities.append(answers[0])
            novelty.append(answers[2])
            advance(len(frames))
    return torch.cat(probabilities), torch.cat(novelty)


def read_frames(
    data: Path | DataSets, classes: Sequence[str], part: str | None, *, bit_depth: int
) -> tuple[datasets.Listing, str]:
    """List the frames to judge, and return the name of their part; of several sets, each has its own part.

    Args:
        data: the values of ``--data``.
        classes: of the artifact.
        part: ``train``, ``valid`` or ``test``; None: of each set ``test``, else ``valid``, else everything.
        bit_depth: see :func:`inspector.imaging.decoder.decode`.

    Raises:
        DataError: the data has no such frames.
    """
    sets = DataSets.of(data)
    listings, chosen = [], []
    for path in sets.paths:
        listing = datasets.read(path, classes)
        if part is None or len(sets.paths) == 1 or listing.part(part):
            listing.frames, name = choose_part(listing, part)
            chosen.append(name)
        else:
            listing.frames = []
        listings.append(listing)
    if not chosen:
        raise DataError(sets, [Problem("no such part", f"'{part}'")])
    if len(listings) > 1 or sets.on_conflict == "later":
        joined = joining.join(listings, sets, classes, bit_depth=bit_depth)
        return joined, " and ".join(dict.fromkeys(chosen))
    return listings[0], chosen[0]


def choose_part(listing: datasets.Listing, part: str | None) -> tuple[list[Frame], str]:
    """The frames to judge, and the name of their part: ``part``, else ``test``, else ``valid``, else all.

    Raises:
        DataError: the data has no such frames.
    """
    parts = {frame.part for frame in listing.frames}
    chosen = part or next((name for name in ("test", "valid") if name in parts), None)
    frames = listing.part(chosen) if chosen else listing.frames
    if not frames:
        raise DataError(listing.source, [Problem("no such part", f"'{chosen}'")])
    return frames, chosen or "all"


def judge_frames(
    artifact: ArtifactFile,
    metadata: Metadata,
    frames: Sequence[Frame],
    problems: list[Problem],
    progress: Progress,
) -> Judged:
    """Judge frames with an artifact's own ``prepare`` and ``forward``.

    Frames that the artifact learnt from are left out, by content. So are frames that cannot be read.

    Args:
        artifact: its file.
        metadata: the artifact's own.
        frames: labelled.
        problems: gets every frame that cannot be read.
        progress: shown while frames are judged.

    Raises:
        ArtifactError: the artifact cannot be used on this machine.
    """
    network = open_network(artifact)
    progress.begin("judging frames", 2 * len(frames))
    loaded = load(
        frames,
        size=(metadata.height, metadata.width),
        resize=network.prepare,
        bit_depth=metadata.bit_depth,
        problems=problems,
        advance=progress.advance,
    )
    recorded = metadata.metrics.get(TRAINING_FRAMES)
    learnt = frozenset(recorded or [])
    left = loaded.only([digest != "" and digest not in learnt for digest in loaded.hashes])
    names = [f.name for f, digest in zip(frames, loaded.hashes, strict=True) if digest in learnt]
    if len(left):
        probabilities, novelty = artifact_answers(network, left.images, progress.advance)
    else:
        probabilities, novelty = torch.empty(0, len(metadata.classes)), torch.empty(0)
    return Judged(probabilities, novelty, left, None if recorded is None else names)


def warn_of_learnt_frames(judged: Judged, n: int, artifact: object = "the artifact") -> None:
    """Log the frames that were left out of n, or that the artifact does not record them."""
    names = judged.learnt_from
    if names is None:
        log.warning(
            "%s does not record the frames that it learnt from: it cannot be excluded that these are among "
            "them, which flatters it; train it again with this version to have them left out",
            artifact,
        )
    elif names:
        more = len(names) - _MAX_NAMES_PER_LINE
        listed = ", ".join(names[:_MAX_NAMES_PER_LINE]) + (f" and {more} more" if more > 0 else "")
        log.warning(
            "%d of %d frames are left out, because %s learnt from them: %s", len(names), n, artifact, listed
        )


def refuse_no_frames(judged: Judged, source: object) -> None:
    """Refuse data of which no frame is left to judge.

    Raises:
        DataError: the artifact learnt from each of its frames.
    """
    if not len(judged.frames):
        names = judged.learnt_from or []
        raise DataError(
            source,
            [Problem("learnt from", f"{name}; give frames that it did not learn from") for name in names],
        )
