"""The learning curve of a linear probe: seconds after the features, by cross-validation over welding runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from trainer.data.joining import DataSets
from trainer.labels import features
from trainer.labels.curve import Curve, mistakes, point, shares_for
from trainer.labels.features import Sample
from trainer.labels.folds import FOLDS, out_of_fold, stratified, thinned
from trainer.labels.power_law import Measured
from trainer.run.progress import Progress

PROBE = "a linear probe of a frozen pretrained network"


def measure(data: DataSets, out: Path, progress: Progress, *, seeds: Sequence[int], bit_depth: int) -> Curve:
    """Read the frames, and measure probes that learn from shares of each fold's training frames.

    Raises:
        DataError: there are problems with the labels or the images; it lists all of them.
        UsageError: there are too few frames.
    """
    with progress:
        sample = features.read(data, out, progress, bit_depth=bit_depth)
        return of_sample(sample, seeds, progress)


def of_sample(sample: Sample, seeds: Sequence[int], progress: Progress) -> Curve:
    """Measure the probes on frames whose features are known.

    Raises:
        UsageError: there are too few frames.
    """
    labels, groups, classes = sample.labels, sample.groups, len(sample.classes)
    shares = shares_for(round(len(labels) * (1 - 1 / FOLDS)), classes, sample.source)
    progress.begin("measuring the curve", len(shares) * len(seeds) * FOLDS)
    answers = np.empty((len(shares), len(seeds), len(labels), classes))
    learnt = np.empty((len(shares), len(seeds)))
    for size, share in enumerate(shares.values()):
        for run, seed in enumerate(seeds):
            counts: list[int] = []

            def probe(
                rows: NDArray[np.int64],
                unseen: NDArray[np.int64],
                share: float = share,
                seed: int = seed,
                counts: list[int] = counts,
            ) -> NDArray[np.float32]:
                few = rows[thinned(labels[rows], groups[rows], share, seed)]
                counts.append(len(few))
                progress.advance()
                return sample.probe(few, unseen)

            answers[size, run] = out_of_fold(labels, stratified(labels, groups, seed), classes, probe)
            learnt[size, run] = np.mean(counts)
    known = ~np.isnan(answers).any(axis=(0, 1, 3))
    truth, tensors = torch.from_numpy(labels[known]), torch.from_numpy(answers[:, :, known]).float()
    numbers = np.unique(groups[known], return_inverse=True)[1]
    measured = Measured(
        learnt,
        np.stack([mistakes(list(each), truth, numbers) for each in tensors]),
        np.bincount(numbers).astype(np.float64),
    )
    points = [
        point(float(n.mean()), list(each), truth, sample.classes)
        for n, each in zip(learnt, tensors, strict=True)
    ]
    return Curve(PROBE, points, measured, int(known.sum()))
