"""Frames without labels, for the student. The paper's conclusion proposes them.

The station's archive has many. The ensemble labels each frame as the student sees it. Frames of which the
ensemble is not sure are left out, because the student would learn guesses.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Sequence, Set
from functools import partial
from pathlib import Path

import torch
from torch import nn

from trainer.data import duplicates, left_out
from trainer.data.datasets import Frame
from trainer.data.files import is_frame
from trainer.data.frames import load
from trainer.data.resizing import prepare
from trainer.errors import DataError, Problem
from trainer.network import ensemble
from trainer.network.prediction import predict
from trainer.recipe import Recipe

log = logging.getLogger(__name__)

FRAMES_PER_BATCH = 256  # in memory while the ensemble labels them
NO_LABEL = -1


def find(folder: Path, labelled: Sequence[Frame]) -> list[Frame]:
    """List every image below ``folder`` that is no labelled frame, held-out frames included, by name.

    A copy of a labelled frame is one, too: the station's archive holds frames under other names.

    Raises:
        DataError: there is no such image.
    """
    known = {frame.sha256 for frame in duplicates.with_hashes(labelled)} - {None}
    files = sorted(folder.rglob("*"))
    found = duplicates.with_hashes(
        [
            Frame(path, path.relative_to(folder).as_posix(), NO_LABEL, part="unlabelled")
            for path in files
            if is_frame(path, folder)
        ]
    )
    frames = [frame for frame in found if frame.sha256 not in known]
    if len(frames) < len(found):
        log.info(
            "%d images in %s are labelled frames, so they are left out", len(found) - len(frames), folder
        )
    for line in left_out.other_images(folder, files) + left_out.system_files(folder, files):
        log.warning("%s", line)
    if not frames:
        raise DataError(folder, [Problem("nothing to read", "there are no images except labelled ones")])
    return frames


def fingerprint(frames: Sequence[Frame]) -> str:
    """Return a SHA-256 over the frames' names and bytes."""
    lines = "".join(f"{frame.name}\t{frame.sha256}\n" for frame in frames)
    return hashlib.sha256(lines.encode("utf-8", "surrogateescape")).hexdigest()


def confident(
    frames: Sequence[Frame],
    teachers: Sequence[nn.Module],
    recipe: Recipe,
    advance: Callable[[], None],
    *,
    labelled: Set[str] = frozenset(),
) -> list[Frame]:
    """Return the frames of which the ensemble is sure. Frames that cannot be read are only counted.

    So are frames with the pixels of a labelled frame: copies of it in another format.

    Args:
        frames: frames without labels.
        teachers: trained networks.
        recipe: size, ensemble, ``distillation.confidence``.
        advance: called after each frame.
        labelled: hashes of the pixels of labelled frames.
    """
    height, width = recipe.network.size
    resize = partial(prepare, height=height, width=width)
    kept: list[Frame] = []
    problems: list[Problem] = []
    copies = 0
    for start in range(0, len(frames), FRAMES_PER_BATCH):
        batch = load(
            frames[start : start + FRAMES_PER_BATCH],
            size=(height, width),
            resize=resize,
            bit_depth=recipe.data.bit_depth,
            problems=problems,
            advance=advance,
        )
        each = torch.stack([predict(teacher, batch.images) for teacher in teachers])
        labels = ensemble.pseudo_label(each, recipe.ensemble.kind, recipe.ensemble.k)
        sure = labels.amax(dim=1) >= recipe.distillation.confidence
        unreadable = {problem.path for problem in problems}
        copies += sum(digest in labelled for digest in batch.hashes)
        kept += [
            frame
            for frame, digest, is_sure in zip(batch.frames, batch.hashes, sure.tolist(), strict=True)
            if is_sure and digest not in labelled and frame.path not in unreadable
        ]
    if copies:
        log.info("%d unlabelled images are copies of labelled frames, so they are left out", copies)
    log.info(
        "of %d of %d unlabelled frames the ensemble is %.0f%% sure, and the student learns from them; "
        "%d cannot be read",
        len(kept),
        len(frames),
        100 * recipe.distillation.confidence,
        len(problems),
    )
    return kept
