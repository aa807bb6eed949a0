"""Metrics of a run's networks on held-out frames, and of an artifact on any labelled frames."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from inspector.network.metadata import ArtifactFile, Metadata
from trainer.data import datasets
from trainer.data.frames import FrameSet
from trainer.data.joining import DataSets
from trainer.errors import DataError, Problem
from trainer.evaluation import pictures
from trainer.evaluation.calibration import cross_fitted_entropy
from trainer.evaluation.judging import (
    Judged,
    artifact_answers,
    judge_frames,
    open_network,
    read_frames,
    refuse_no_frames,
    warn_of_learnt_frames,
)
from trainer.evaluation.linear_baseline import ridge
from trainer.evaluation.linear_probe import linear_probe, sample
from trainer.evaluation.metrics import ModelMetrics, agreement, calibration_error, evaluate
from trainer.evaluation.results import ArtifactSummary
from trainer.evaluation.verdicts import verdict_metrics
from trainer.network import ensemble, lite0
from trainer.network.prediction import predict
from trainer.network.student_file import TRAINING_FRAMES
from trainer.run.identity import Identity
from trainer.run.progress import Progress
from trainer.run.reading import Reader

log = logging.getLogger(__name__)


def evaluate_networks(
    teachers: Sequence[nn.Module],
    student: nn.Module | None,
    train: FrameSet,
    valid: FrameSet,
    classes: Sequence[str],
    *,
    k: float,
    reader: Reader,
    progress: Progress,
) -> dict[str, ModelMetrics]:
    """Evaluate each teacher, both ensembles, both baselines and the fp32 student on held-out frames.

    The linear probe sees the frames as large as its network works best, so they are read again.
    """
    by_teacher = torch.stack([predict(teacher, valid.images) for teacher in teachers])
    answers = {
        _teacher_name(number, teacher): probabilities
        for number, (teacher, probabilities) in enumerate(zip(teachers, by_teacher, strict=True), start=1)
    }
    answers["mean"] = ensemble.mean(by_teacher)
    answers["focal"] = ensemble.pseudo_label(by_teacher, "focal", k)
    answers["ridge"] = ridge(train, valid, len(classes))
    larger = reader.again(sample(train), valid, lite0.PIXELS)
    progress.begin("linear probe", sum(map(len, larger)))
    device = next(teachers[0].parameters()).device
    answers["probe"] = linear_probe(*larger, len(classes), device, advance=progress.advance)
    if student:
        answers["student"] = predict(student, valid.images)
    return {name: _metrics(probabilities, valid, classes) for name, probabilities in answers.items()}


def _teacher_name(number: int, teacher: nn.Module) -> str:
    return lite0.TEACHER if isinstance(teacher, lite0.Classifier) else f"teacher-{number}"


def evaluate_compiled(
    path: Path, student: nn.Module, frames: FrameSet, tuning: Tensor
) -> tuple[ModelMetrics, ArtifactSummary]:
    """Evaluate the artifact of ``student`` on prepared frames, and draw pictures next to it.

    Its calibration is that on frames that did not tune it; ``tuning`` are the others, bool[N].
    """
    artifact = ArtifactFile.read(path, others_may_write=True)  # this run has made it
    metadata = artifact.metadata()
    answers = artifact_answers(open_network(artifact), frames.images)[0]
    metrics = _metrics(answers, frames, metadata.class_names)
    metrics["calibration_error"] = calibration_error(answers[~tuning], frames.labels[~tuning])
    draw_pictures(answers, frames, metrics, path.parent, tuning)
    return metrics, {
        "file": path.name,
        "scheme": metadata.quantization,
        "bytes": path.stat().st_size,
        "agreement_with_student": agreement(answers, predict(student, frames.images)),
    }


def draw_pictures(
    answers: Tensor, frames: FrameSet, metrics: ModelMetrics, folder: Path, tuning: Tensor | None = None
) -> None:
    """Draw ``confusion.png``, ``reliability.png`` and ``mistakes.png`` of a network's answers.

    ``tuning`` are the frames that fitted the temperature, bool[N]; the reliability is that of the others.
    """
    shown = torch.ones(len(answers), dtype=torch.bool) if tuning is None else ~tuning
    folder.mkdir(parents=True, exist_ok=True)
    pictures.confusion(metrics, folder / "confusion.png")
    error = metrics["calibration_error"]
    pictures.calibration(answers[shown], frames.labels[shown], error, folder / "reliability.png")
    pictures.mistakes(answers, frames, list(metrics["per_class"]), folder / "mistakes.png")


def _metrics(probabilities: Tensor, frames: FrameSet, classes: Sequence[str]) -> ModelMetrics:
    metrics = evaluate(probabilities, frames.labels, classes, frames.runs)
    metrics["cross_entropy"] = cross_fitted_entropy(probabilities, frames.labels, frames.runs)
    return metrics


def run_metrics(identity: Identity, hashes: Sequence[str], start: Sequence[str] | None) -> dict[str, Any]:
    """The part of an artifact's metrics that is the same for each scheme: n, seeds, split, training frames.

    Args:
        identity: of the run.
        hashes: content hashes of the frames that the networks learnt from.
        start: the same of the student that they started from; None: not known, so no frames are recorded.
    """
    learnt = {} if start is None else {TRAINING_FRAMES: sorted({*hashes, *start})}
    return {
        "part": identity.part,
        "n": identity.n,
        "n_train": identity.n_train,
        "seeds": identity.seeds,
        "split_fingerprint": identity.split_fingerprint,
        **learnt,
    }


def evaluate_artifact(
    path: Path,
    data: Path | DataSets,
    part: str | None,
    progress: Progress,
    pictures_folder: Path | None = None,
) -> dict[str, Any]:
    """Evaluate an artifact, with its own ``prepare`` and ``forward``, on labelled frames.

    Args:
        path: the artifact.
        data: any form of ``--data``; a class may have no frames.
        part: of the data; None takes ``test``, else ``valid``, else everything.
        progress: shown while frames are read and judged.
        pictures_folder: takes the pictures; None draws none.

    Raises:
        ArtifactError: the artifact cannot be used on this machine.
        DataError: the data has no such frames, or frames cannot be read.
    """
    started = time.monotonic()
    artifact = ArtifactFile.read(path)
    metadata = artifact.metadata()
    listing, chosen = read_frames(data, metadata.class_names, part, bit_depth=metadata.bit_depth)
    frames = listing.frames
    with progress:
        judged = judge_frames(artifact, metadata, frames, listing.problems, progress)
    if listing.problems:
        raise DataError(DataSets.of(data), listing.problems)
    refuse_no_frames(judged, DataSets.of(data))
    warn_of_learnt_frames(judged, len(frames))
    metrics = _metrics(judged.probabilities, judged.frames, metadata.class_names)
    if pictures_folder:
        draw_pictures(judged.probabilities, judged.frames, metrics, pictures_folder)
    return {
        "artifact": metadata.name,
        "part": chosen,
        **metrics,
        **_verdicts(judged, metadata),
        "training_verdict": metadata.training_verdict,
        "seconds": time.monotonic() - started,
    }


def evaluate_test(path: Path, listing: datasets.Listing, progress: Progress) -> dict[str, Any] | None:
    """Evaluate a run's artifact on the part ``test``, which neither trained nor fitted anything.

    Frames that cannot be read are left out with a warning, because the run's training is done. None if the
    data has no such part.
    """
    frames = listing.part("test")
    if not frames:
        return None
    artifact = ArtifactFile.read(path, others_may_write=True)  # this run has made it
    metadata = artifact.metadata()
    problems: list[Problem] = []
    judged = judge_frames(artifact, metadata, frames, problems, progress)
    for problem in problems:
        log.warning("left out of part test: %s", problem)
    warn_of_learnt_frames(judged, len(frames))
    if not len(judged.frames):
        return None
    metrics = _metrics(judged.probabilities, judged.frames, metadata.class_names)
    return {"part": "test", **metrics, **_verdicts(judged, metadata)}


def _verdicts(judged: Judged, metadata: Metadata) -> dict[str, Any]:
    frames = judged.frames
    return {
        **verdict_metrics(judged.probabilities, judged.novelty, frames.labels, metadata, frames.runs),
        "learnt_from": None if judged.learnt_from is None else len(judged.learnt_from),
    }
