"""Metrics of a run's networks on held-out frames, and of an artifact on any labelled frames."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from inspector.network.metadata import ArtifactError, Metadata
from inspector.network.metadata import read as read_metadata
from trainer.data import datasets
from trainer.data.frames import FrameSet, load
from trainer.errors import DataError, Problem
from trainer.evaluation import pictures
from trainer.evaluation.calibration import least_cross_entropy
from trainer.evaluation.linear_baseline import ridge
from trainer.evaluation.metrics import ModelMetrics, agreement, evaluate
from trainer.evaluation.results import ArtifactSummary
from trainer.network import ensemble
from trainer.network.prediction import predict
from trainer.run.identity import Identity
from trainer.run.progress import Progress


def evaluate_networks(
    teachers: Sequence[nn.Module],
    student: nn.Module | None,
    train: FrameSet,
    valid: FrameSet,
    classes: Sequence[str],
    *,
    k: float,
) -> dict[str, ModelMetrics]:
    """Evaluate each teacher, both ensembles, the linear baseline and the fp32 student on held-out frames."""
    by_teacher = torch.stack([predict(teacher, valid.images) for teacher in teachers])
    answers = {f"teacher-{number}": probabilities for number, probabilities in enumerate(by_teacher, start=1)}
    answers["mean"] = ensemble.mean(by_teacher)
    answers["focal"] = ensemble.pseudo_label(by_teacher, "focal", k)
    answers["ridge"] = ridge(train, valid, len(classes))
    if student:
        answers["student"] = predict(student, valid.images)
    return {name: _metrics(probabilities, valid, classes) for name, probabilities in answers.items()}


def evaluate_compiled(
    path: Path, student: nn.Module, frames: FrameSet
) -> tuple[ModelMetrics, ArtifactSummary]:
    """Evaluate the artifact of ``student`` on prepared frames, and draw pictures next to it."""
    metadata = read_metadata(path)
    answers = artifact_probabilities(open_network(path), frames.images)
    metrics = _metrics(answers, frames, metadata.class_names)
    draw_pictures(answers, frames, metrics, path.parent)
    return metrics, {
        "file": path.name,
        "scheme": metadata.quantization,
        "bytes": path.stat().st_size,
        "agreement_with_student": agreement(answers, predict(student, frames.images)),
    }


def draw_pictures(answers: Tensor, frames: FrameSet, metrics: ModelMetrics, folder: Path) -> None:
    """Draw ``confusion.png``, ``reliability.png`` and ``mistakes.png`` of a network's answers."""
    folder.mkdir(parents=True, exist_ok=True)
    pictures.confusion(metrics, folder / "confusion.png")
    pictures.calibration(answers, frames.labels, metrics["calibration_error"], folder / "reliability.png")
    pictures.mistakes(answers, frames, list(metrics["per_class"]), folder / "mistakes.png")


def _metrics(probabilities: Tensor, frames: FrameSet, classes: Sequence[str]) -> ModelMetrics:
    metrics = evaluate(probabilities, frames.labels, classes, frames.runs)
    metrics["cross_entropy"] = least_cross_entropy(probabilities, frames.labels)
    return metrics


def run_metrics(identity: Identity) -> dict[str, Any]:
    """The part of an artifact's metrics that is the same for each scheme: n, seeds and split."""
    return {
        "part": identity.part,
        "n": identity.n,
        "n_train": identity.n_train,
        "seeds": identity.seeds,
        "split_fingerprint": identity.split_fingerprint,
    }


def open_network(path: Path) -> torch.jit.ScriptModule:
    """Open an artifact's network, frozen as the station runs it.

    Raises:
        ArtifactError: the artifact does not load on this machine.
    """
    try:
        network = torch.jit.load(path)  # type: ignore[no-untyped-call]
        frozen: torch.jit.ScriptModule = torch.jit.freeze(network.eval(), preserved_attrs=["prepare"])
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[0][:200]
        raise ArtifactError(f"{path}: does not load on this machine ({reason}); compile it again") from None
    return frozen


_FRAMES_PER_CALL = 8  # the daemon's default batch


def artifact_probabilities(
    network: torch.jit.ScriptModule, images: Tensor, advance: Callable[[float], None] = lambda frames: None
) -> Tensor:
    """An artifact's probabilities ``[N, C]`` for prepared frames ``uint8[N, 1, H, W]``."""
    answers = []
    with torch.inference_mode():
        for frames in torch.split(images, _FRAMES_PER_CALL):
            answers.append(network(frames)[0])
            advance(len(answers[-1]))
    return torch.cat(answers)


def evaluate_artifact(
    path: Path, data: Path, part: str | None, progress: Progress, pictures_folder: Path | None = None
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
    metadata = read_metadata(path)
    with progress:
        answers, loaded, chosen = judge_frames(path, metadata, data, part, progress)
    result = _metrics(answers, loaded, metadata.class_names)
    if pictures_folder:
        draw_pictures(answers, loaded, result, pictures_folder)
    return {
        "artifact": metadata.name,
        "part": chosen,
        **result,
        "seconds": time.monotonic() - started,
    }


def judge_frames(
    path: Path, metadata: Metadata, data: Path, part: str | None, progress: Progress
) -> tuple[Tensor, FrameSet, str]:
    """Return an artifact's answers ``[N, C]`` to labelled frames, the frames, and the part of the data.

    Raises:
        ArtifactError: the artifact cannot be used on this machine.
        DataError: the data has no such frames, or frames cannot be read.
    """
    network = open_network(path)
    listing = datasets.read(data, metadata.class_names)
    parts = {frame.part for frame in listing.frames}
    chosen = part or next((name for name in ("test", "valid") if name in parts), None)
    frames = listing.part(chosen) if chosen else listing.frames
    if not frames:
        raise DataError(data, [Problem("no such part", f"'{chosen}'")])
    progress.begin("judging frames", 2 * len(frames))
    loaded = load(
        frames,
        size=(metadata.height, metadata.width),
        resize=network.prepare,
        bit_depth=metadata.bit_depth,
        problems=listing.problems,
        advance=progress.advance,
    )
    if listing.problems:
        raise DataError(data, listing.problems)
    return artifact_probabilities(network, loaded.images, progress.advance), loaded, chosen or "all"
