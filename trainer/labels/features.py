"""Labelled frames, and what a frozen pretrained network sees in them.

The features take about a tenth of a second per frame on one core, a model of them a second. They are kept in
the output folder, so the same command on corrected labels starts at once.
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from inspector.imaging.decoder import unused_bits_warning
from trainer.data import duplicates, joining, near_duplicates
from trainer.data.frames import FrameSet, choose_view_size, load
from trainer.data.joining import DataSets
from trainer.data.resizing import prepare
from trainer.errors import DataError, Problem
from trainer.evaluation import linear_probe
from trainer.labels.folds import independent_groups
from trainer.network import archives, lite0
from trainer.run.progress import Progress
from trainer.run.saving import save

log = logging.getLogger(__name__)

FEATURES_FILE = "features.pt"


@dataclass(frozen=True)
class Sample:
    """Labelled frames: ``features`` float32[N, F], and the group of near-duplicates of each frame."""

    source: str
    classes: list[str]
    frames: FrameSet
    features: Tensor
    copies: list[int]

    @cached_property
    def groups(self) -> NDArray[np.int64]:
        """The frames that are judged together, int64[N]: of a welding run, else near-duplicates."""
        return independent_groups(self.labels, self.frames.runs, self.copies)

    @property
    def labels(self) -> NDArray[np.int64]:
        """Class numbers, int64[N]."""
        labels: NDArray[np.int64] = self.frames.labels.numpy()
        return labels

    def probe(self, rows: NDArray[np.int64], unseen: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return probabilities float32[n, C] of the ``unseen`` rows, by a probe of the others."""
        groups = [str(group) for group in self.groups[rows]]
        fitted = linear_probe.fit(
            self.features[rows], self.frames.labels[rows], len(self.classes), groups, penalty=self.penalty
        )
        answers: NDArray[np.float32] = fitted.probabilities(self.features[unseen]).numpy()
        return answers

    @cached_property
    def penalty(self) -> float:
        """The probes' penalty, chosen once on all frames, because that costs more than all probes."""
        groups = [str(group) for group in self.groups]
        probe = linear_probe.fit(self.features, self.frames.labels, len(self.classes), groups)
        return probe.penalty


def read(data: DataSets, out: Path, progress: Progress, *, bit_depth: int) -> Sample:
    """Read all labelled frames of the data, whatever their part, and compute their features.

    Raises:
        DataError: there are problems with the labels or the images, or fewer than two classes; it lists all
        of them.
    """
    listing = joining.read(data, [], bit_depth=bit_depth)
    hashed = duplicates.with_hashes(listing.frames)
    listing.problems += duplicates.under_two_labels(hashed, listing.classes)
    if len({frame.label for frame in hashed}) < 2:
        listing.problems.append(
            Problem("one class only", f"{listing.classes}; labels are compared with each other")
        )
    if listing.problems:
        raise DataError(listing.source, listing.problems)
    height, width = choose_view_size(hashed, lite0.PIXELS, bit_depth)  # it enlarges small ones itself
    progress.begin("reading frames", len(hashed))
    frames = load(
        hashed,
        size=(height, width),
        resize=partial(prepare, height=height, width=width),
        bit_depth=bit_depth,
        problems=listing.problems,
        advance=progress.advance,
    )
    if listing.problems:
        raise DataError(listing.source, listing.problems)
    if warning := unused_bits_warning(frames.unused_bits, bit_depth):
        log.warning("%s: %s", listing.source, warning)
    copies = near_duplicates.groups(frames.images)
    runless = sum(run is None for run in frames.runs)
    if runless:
        log.warning(
            "%d of %d frames belong to no run: near-duplicates stay together (%d groups)",
            runless,
            len(frames),
            len(set(copies)),
        )
    features = _features(frames, out / FEATURES_FILE, progress)
    return Sample(str(listing.source), listing.classes, frames, features, copies)


def _features(frames: FrameSet, cache: Path, progress: Progress) -> Tensor:
    """Compute the features, or read those that an earlier command on the same frames has kept."""
    parts = [*frames.hashes, str(tuple(frames.images.shape)), str(lite0.POOLED), str(lite0.FEATURES)]
    key = hashlib.sha256("".join(parts).encode()).hexdigest()
    if cache.exists() and archives.is_whole(cache):  # a power cut can leave a torn file
        kept = torch.load(cache, weights_only=True)
        if kept["frames"] == key:
            features: Tensor = kept["features"]
            return features
    progress.begin("looking at frames", len(frames))
    features = linear_probe.features(frames.images, advance=progress.advance)
    save({"frames": key, "features": features}, cache)
    return features
