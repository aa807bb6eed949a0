"""The learning curve of a recipe: a sweep of runs, which takes hours and can be stopped and resumed.

Every run is of the same held-out frames. The training frames of each size and seed are a data folder of its
own below ``sets/``, so each run below ``runs/`` is an ordinary one, which can be repeated and looked at.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inspector.network.metadata import ArtifactFile
from trainer import pipeline
from trainer.data.datasets import Frame, Listing
from trainer.data.joining import DataSets
from trainer.errors import DataError, Problem, TrainingError, UsageError
from trainer.evaluation import metrics
from trainer.evaluation.judging import Judged, judge_frames
from trainer.labels.curve import Curve, mistakes, point, shares_for
from trainer.labels.folds import independent_groups, thinned
from trainer.labels.power_law import Measured
from trainer.learning.processes import Hardware
from trainer.recipe_file import load
from trainer.run.folder import read_results
from trainer.run.progress import Progress
from trainer.run.saving import csv_text, write_text
from trainer.sweep import UNCHANGED_RECIPE, sweep

LABELS_FILE = "labels.csv"


def measure(
    recipe: str,
    data: DataSets,
    out: Path,
    progress: Progress,
    *,
    overrides: Sequence[str],
    seeds: Sequence[int],
    hardware: Hardware,
) -> Curve | None:
    """Train the recipe on each share of the training frames with each seed, and judge the artifacts.

    None if another process is the leader. The function is long by its description of errors.

    Raises:
        UsageError: the recipe trains no student, or there are too few frames.
        DataError: there are problems with the labels or the images.
        TrainingError: a run has failed; the same command resumes.
    """
    resolved = load(recipe, overrides)
    if not resolved.trains_student:
        raise UsageError(
            f"recipe {resolved.name}: trains no student, so there is no artifact to measure; use best"
        )
    listing = pipeline.list_frames(resolved, data)
    if listing.problems:
        raise DataError(listing.source, listing.problems)
    train, valid = listing.part("train"), listing.part("valid")
    if not valid:
        raise DataError(
            listing.source,
            [
                Problem(
                    "nothing to hold out",
                    "every class has one run, or one group of near-duplicates; give a part 'valid'",
                )
            ],
        )
    shares = shares_for(len(train), len(listing.classes), listing.source)
    for share in shares:
        for seed in seeds:
            folder, name = out / "sets" / f"{share}-seed{seed}", f"{share} of the frames with seed {seed}"
            if hardware.leader:
                _write_set(folder, _thin(train, shares[share], seed), valid, listing)
            hardware.wait()
            result = sweep(
                recipe, folder, out / "runs" / share, progress,
                overrides=overrides, seeds=[seed], hardware=hardware,
            )  # fmt: skip
            for error in result["failed"].values():
                raise TrainingError(f"{name}: {error}")
    if not hardware.leader:
        return None
    runs = {
        share: [out / "runs" / share / f"{UNCHANGED_RECIPE}-seed{seed}" for seed in seeds] for share in shares
    }
    with progress:
        answers = {
            share: [_answers(run, valid, listing.classes, progress) for run in each]
            for share, each in runs.items()
        }
    learnt = {share: [read_results(run)["n_train"] for run in each] for share, each in runs.items()}
    of = f"the artifact of recipe {resolved.name}"
    return _curve(answers, np.array(list(learnt.values()), dtype=np.float64), listing.classes, of)


def _thin(train: Sequence[Frame], share: float, seed: int) -> list[Frame]:
    labels = np.array([frame.label for frame in train])
    copies = [frame.sha256 or frame.name for frame in train]
    groups = independent_groups(labels, [frame.run for frame in train], copies)
    return [train[row] for row in thinned(labels, groups, share, seed)]


def _write_set(folder: Path, train: Sequence[Frame], valid: Sequence[Frame], listing: Listing) -> None:
    """Write a data folder of label tables; the pictures stay where they are."""
    for part, frames in (("train", train), ("valid", valid)):
        (folder / part).mkdir(parents=True, exist_ok=True)
        rows = [(frame.path.resolve(), listing.classes[frame.label], frame.run or "") for frame in frames]
        cells = [(str(path), label, run) for path, label, run in rows]
        write_text(csv_text(("path", "label", "run"), cells), folder / part / LABELS_FILE)


def _answers(run: Path, valid: Sequence[Frame], classes: Sequence[str], progress: Progress) -> Judged:
    """Judge the held-out frames with a run's artifact; the answers are in the order of ``classes``.

    Raises:
        DataError: a frame cannot be read.
    """
    artifact = ArtifactFile.read(run / pipeline.ARTIFACT_FILE, others_may_write=True)  # the sweep has made it
    metadata, problems = artifact.metadata(), list[Problem]()
    judged = judge_frames(artifact, metadata, valid, problems, progress)
    if problems:
        raise DataError(run, problems)
    order = [metadata.class_names.index(name) for name in classes]
    return replace(judged, probabilities=judged.probabilities[:, order])


def _curve(
    answers: Mapping[str, Sequence[Judged]], learnt: NDArray[np.float64], classes: Sequence[str], of: str
) -> Curve:
    """Summarize the answers of each size and seed to the frames that no run has learnt from."""
    every = [judged for each in answers.values() for judged in each]
    common = set.intersection(*({frame.name for frame in judged.frames.frames} for judged in every))
    first = every[0].frames.only([frame.name in common for frame in every[0].frames.frames])
    groups = np.array(metrics.independent_groups(len(first), first.runs))
    tensors = {
        size: [judged.probabilities[[f.name in common for f in judged.frames.frames]] for judged in each]
        for size, each in answers.items()
    }
    measured = Measured(
        learnt,
        np.stack([mistakes(each, first.labels, groups) for each in tensors.values()]),
        np.bincount(groups).astype(np.float64),
    )
    points = [
        point(float(n.mean()), each, first.labels, classes)
        for n, each in zip(learnt, tensors.values(), strict=True)
    ]
    return Curve(of, points, measured, len(first))
