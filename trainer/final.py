"""``weld-train run --final``: the last network, which learns from the held-out frames, too.

The run before it has held frames out, and its figures are an estimate for such a network. Now the same
recipe, with the same frame size, number of epochs and initial weights, learns from all labelled frames but
those of a part ``test``. No frame is left that could measure it. So temperature, thresholds and every figure
are those of the run before, made with other weights, and log, ``results.json`` and metadata say so. The
promise about escapes is withdrawn. Only what belongs to the weights is fitted again, on training frames as
always: the ranges of the maps, and the mean and covariance of the novelty.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from torch import nn

from inspector.network.metadata import TrainingVerdict
from trainer import pipeline
from trainer.artifact.fitting import fit_ranges, prepared, scheme_answers
from trainer.artifact.student import Fit, Student
from trainer.data import splits
from trainer.data.datasets import Listing
from trainer.data.frames import FrameSet
from trainer.data.joining import DataSets
from trainer.errors import RunError, UsageError
from trainer.evaluation import run_page
from trainer.evaluation.metrics import wilson
from trainer.evaluation.report import evaluate_test
from trainer.learning import pretrained_teacher
from trainer.learning.networks import Networks, refuse_too_many_processes
from trainer.learning.processes import Hardware
from trainer.network import initial_weights
from trainer.network.student_file import STUDENT_FILE, TRAINING_FRAMES
from trainer.network.weldnet import WeldNet
from trainer.recipe import Recipe
from trainer.run.folder import (
    RESULTS_FILE,
    UNLABELLED_FILE,
    RunFolder,
    is_finished,
    read_recipe,
    read_results,
    require_same_recipe,
    require_same_split,
)
from trainer.run.progress import Progress
from trainer.run.reading import Reader

log = logging.getLogger(__name__)

FINAL_FOLDER = "final"  # in the run folder
NO_PROMISE = {
    "kept": False,
    "words": "nothing can be promised: this network has learnt from the frames that could show its escapes",
}


def run(
    recipe: Recipe,
    data: DataSets,
    out: Path,
    progress: Progress,
    *,
    unlabelled: Path | None = None,
    hardware: Hardware | None = None,
) -> dict[str, Any] | None:
    """Run or resume the run before and the final one; return what ``final/results.json`` holds.

    None if another process is the leader. The function is long, because it is the story.

    Raises:
        UsageError: the recipe trains no student, so there is no network to put in force.
        RunError: the folder holds another run.
        TrainerError: as :func:`trainer.pipeline.run`.
    """
    hardware = hardware or Hardware()
    if not recipe.trains_student:
        raise UsageError(
            f"recipe {recipe.name}: trains no student, so --final has nothing to train; leave it out"
        )
    listing = _run_before(recipe, data, out, progress, unlabelled=unlabelled, hardware=hardware)
    before, student = read_results(out), Student.load(out / STUDENT_FILE)
    recipe = _as_decided(read_recipe(out), before["n_train"])
    everything = _all_to_learn(listing)
    n_train = len(everything.part("train"))
    refuse_too_many_processes(recipe, n_train, hardware)
    start = initial_weights.read(recipe.network, listing.classes)
    identity = pipeline.identify(recipe, data, everything, start.sha256, hardware)
    estimate = (
        f"the figures are those of the run before, which held out {before['n']} of {n_train} frames: an "
        "estimate, for other weights; this network has learnt from all of these frames"
    )
    log.info("final network: %s", estimate)
    with RunFolder(out / FINAL_FOLDER, leader=hardware.leader) as folder, progress:
        names = splits.fingerprint_of_names(everything.frames, everything.classes)
        identity = folder.check_identity(recipe, identity, names)
        reader = Reader(recipe, folder, progress)
        train = reader.training(everything)
        folder.write_identity(recipe, identity, everything.frames, everything.classes)
        networks = Networks(
            recipe,
            len(listing.classes),
            start,
            hardware,
            train=train,
            valid=None,
            folder=folder,
            progress=progress,
        )
        teachers = networks.train_teachers()
        frames = reader.with_unlabelled(train, unlabelled, everything, teachers)
        network = networks.train_student(teachers, frames)
        if not hardware.leader:
            return None
        held_out = {frame.name for frame in listing.part("valid")}
        known = train.only([frame.name in held_out for frame in train.frames])
        about: dict[str, Any] = {"n_train": n_train, "seeds": identity.seeds, "figures": estimate}
        if TRAINING_FRAMES in student.metrics:
            about[TRAINING_FRAMES] = sorted({*student.metrics[TRAINING_FRAMES], *frames.hashes})
        final, right = carry_over(student, network, train, known, recipe.artifact.scheme)
        verdict = collapse(right, len(known), before)
        about |= verdict
        final = replace(
            final,
            metrics=student.metrics | about,
            fits={
                name: replace(fit, metrics=fit.metrics | verdict | {"promise": NO_PROMISE})
                for name, fit in final.fits.items()
            },
            golden=pipeline.golden_frames(recipe, train),
            git_commit=identity.git_commit,
        )
        final.save(folder.path / STUDENT_FILE)
        artifact = folder.path / pipeline.ARTIFACT_FILE
        if not pipeline.is_artifact(artifact):
            final.compile(recipe.artifact.scheme, artifact)
        result = before | asdict(identity) | {"n": before["n"]} | about
        result.pop(TRAINING_FRAMES, None)
        result["thresholds"] = before["thresholds"] | {"promise": NO_PROMISE}
        result["learnt"] = {"n": len(known), "right": right}
        result["restarts"] = {name: restarts for name, restarts in networks.restarts.items() if restarts}
        result["artifact"] = _summary(artifact, final.fits, recipe.artifact.scheme)
        if test := evaluate_test(artifact, listing, progress):
            result["test"] = test
        folder.write(run_page.PAGE_FILE, run_page.render(result, folder.path, datetime.now().astimezone()))
        folder.write_json(RESULTS_FILE, result)
        if words := result.get("training_verdict"):  # a run of an earlier version has none
            log.info("verdict of the run before: %s" if not verdict else "verdict: %s", words)
        return result


def _run_before(
    recipe: Recipe,
    data: DataSets,
    out: Path,
    progress: Progress,
    *,
    unlabelled: Path | None,
    hardware: Hardware,
) -> Listing:
    """Run what is to be run of the run before, and return its frames with their parts."""
    finished = is_finished(out) and (out / STUDENT_FILE).is_file()
    hardware.wait()  # no process asks again after another has begun
    if not finished:
        pipeline.run(recipe, data, out, progress, unlabelled=unlabelled, hardware=hardware)
        hardware.wait()  # for the leader's results
        return pipeline.list_frames(recipe, data, split_from=[out])
    require_same_recipe(out, recipe)
    if (out / UNLABELLED_FILE).exists() != (unlabelled is not None):
        began = "without" if unlabelled else "with"
        raise RunError(f"{out}: its student learnt {began} --unlabelled; do the same, or give another --out")
    listing = pipeline.list_frames(recipe, data, split_from=[out])
    require_same_split(
        out,
        splits.fingerprint(listing.frames, listing.classes),
        splits.fingerprint_of_names(listing.frames, listing.classes),
    )
    return listing


def carry_over(
    before: Student, network: nn.Module, train: FrameSet, known: FrameSet, scheme: str
) -> tuple[Student, int]:
    """Return the student of the new weights with the fits of the run before, and its right answers.

    Args:
        before: of the run before.
        network: the new weights.
        train: all frames, from which it has learnt.
        known: those of them that the run before has held out; the right answers are to these.
        scheme: whose answers count.
    """
    assert isinstance(network, WeldNet)  # noqa: S101 - no other network becomes a student
    ranges = fit_ranges(network, train.images)
    answers = scheme_answers(network, ranges, train.images, prepared(network, known.images))
    fits = {
        name: replace(
            before.fits[name],
            novelty=answered.novelty,
            agreement=(answered.same_top_class, len(known)),
            metrics=before.fits[name].metrics | {"agreement_with_fp32": answered.same_top_class / len(known)},
        )
        for name, answered in answers.items()
        if name in before.fits
    }
    chosen = answers.get(scheme) or answers["none"]
    right = int((chosen.logits.argmax(dim=1) == known.labels).sum())
    return replace(before, network=network, ranges=ranges, fits=fits), right


def _as_decided(recipe: Recipe, n_train: int) -> Recipe:
    """Return the recipe of the run before, with what followed from its number of frames.

    Its folder has the frame size already.
    """
    kind = pretrained_teacher.kind_for(recipe.ensemble.pretrained, n_train) or "none"
    ensemble = recipe.ensemble.model_copy(update={"pretrained": kind})
    return recipe.model_copy(update={"ensemble": ensemble})


def _all_to_learn(listing: Listing) -> Listing:
    """Return the listing with its held-out frames among the training frames."""
    frames = [
        replace(frame, part="train" if frame.part == "valid" else frame.part) for frame in listing.frames
    ]
    return replace(listing, frames=frames)


def collapse(right: int, n: int, before: Mapping[str, Any]) -> dict[str, Any]:
    """Return a training verdict if the network is worse on frames than one that has not learnt them.

    The verdict of the run before says nothing about these weights: a training can fail once.
    """
    without = before["models"]["artifact"]["accuracy"]
    if right / n >= wilson(without * n, n)[0]:
        return {}
    verdict = (
        f"{TrainingVerdict.DO_NOT_DEPLOY}: the final network names {right} of {n} frames that it has learnt "
        f"from, the run before {without:.0%} without; keep its artifact, or train with another seed"
    )
    log.warning("%s", verdict)
    return {"training_verdict": verdict, "training_verdict_reasons": []}


def _summary(artifact: Path, fits: Mapping[str, Fit], scheme: str) -> dict[str, Any]:
    fit = fits.get(scheme) or fits["none"]
    return {
        "file": artifact.name,
        "scheme": scheme,
        "bytes": artifact.stat().st_size,
        "agreement_with_student": fit.metrics["agreement_with_fp32"],
    }
