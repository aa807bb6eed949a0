"""The story of a run: frames → teachers → ensemble → student → artifact → results.

Every stage leaves a file in the run folder and starts from the files before it, so the same command goes on
where a killed one stopped. No network is chosen by the held-out frames: they are reported on, and temperature
and thresholds are fitted on them at the end, which changes no top class.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from inspector.imaging.decoder import read_image
from inspector.network.metadata import WeldClass
from trainer.artifact.observation import observe
from trainer.artifact.student import Student
from trainer.data import datasets, splits
from trainer.data.frames import FrameSet
from trainer.errors import RecipeError
from trainer.evaluation import pictures
from trainer.evaluation.calibration import calibrate, warm
from trainer.evaluation.report import metrics, report_artifact, report_student, report_teachers
from trainer.evaluation.thresholds import choose
from trainer.learning.networks import Networks, seeds
from trainer.learning.processes import Hardware
from trainer.network import initial_weights
from trainer.network.prediction import predict
from trainer.network.weldnet import WeldNet
from trainer.recipe import Recipe
from trainer.run.folder import RunFolder, environment, git_commit
from trainer.run.progress import Progress
from trainer.run.reading import Reader, sized

log = logging.getLogger(__name__)

ARTIFACT = "weldnet.pt"  # its name in the run folder, and the name a station's settings expect


class Stage(StrEnum):
    """How far to go; each includes the ones before it."""

    TEACHERS = "teachers"
    STUDENT = "student"
    RESULTS = "results"


def run(
    recipe: Recipe,
    data: Path,
    out: Path,
    progress: Progress,
    until: Stage = Stage.RESULTS,
    *,
    unlabelled: Path | None = None,
    lender: Path | None = None,
    hardware: Hardware | None = None,
) -> dict[str, Any]:
    """Run or resume a recipe, and return its results (of an earlier stage: what is done).

    ``unlabelled`` is a folder of frames that the student learns from besides the labelled ones. ``lender`` is
    a finished run whose teachers are taken where this one's would be the same. Where ``hardware`` is several
    processes, each runs this; only their leader writes, and has results.

    Raises:
        RecipeError, DataError, RunError: nothing was started; see :mod:`trainer.errors`.
        TrainingError: the loss is no longer a number.
    """
    listing = listed(recipe, data)
    recipe = sized(recipe, listing)
    classes = weld_classes(recipe, listing.classes)
    begin = initial_weights.read(recipe.network, len(listing.part("train")))
    hardware = hardware or Hardware()
    with RunFolder(out, leader=hardware.leader) as folder, progress:
        identity = describe(recipe, listing, begin, hardware)
        folder.refuse_other(recipe.resolved(), identity)
        reader = Reader(recipe, folder, progress)
        if lender:
            folder.borrow(lender, [n for n in seeds(recipe) if n != "student"], recipe.resolved(), identity)
            hardware.wait()
        train, valid = reader.labelled(listing)
        folder.claim(recipe.resolved(), identity, listing.frames, listing.classes)
        networks = Networks(
            recipe,
            len(classes),
            begin,
            train=train,
            valid=valid,
            folder=folder,
            progress=progress,
            hardware=hardware,
        )

        teachers = networks.teachers()
        if until is Stage.TEACHERS:
            return {"stage": until, "out": str(out), "teachers": len(teachers)}

        results = identity | report_teachers(
            recipe, teachers, train=train, valid=valid, classes=listing.classes
        )
        network = None
        if "student" in seeds(recipe):
            network = networks.student(teachers, reader.with_unlabelled(train, unlabelled, listing, teachers))
        if not hardware.leader:
            return {}
        if network:
            results |= report_student(results, network, valid, listing.classes)
            student = finish(recipe, network, classes, train=train, valid=valid, results=results)
            student.save(out / "student.pt")
            if until is Stage.STUDENT:
                return {"stage": until, "out": str(out), "student": str(out / "student.pt")}

            if not (out / ARTIFACT).exists():
                student.compile(recipe.artifact.scheme, out / ARTIFACT)
            results |= report_artifact(out / ARTIFACT, network, valid, listing.classes, results)
        else:
            log.info("no student, so no artifact: this run stands beside others for comparison")
        leave(folder, results, list(seeds(recipe)))
        return results


def listed(recipe: Recipe, data: Path) -> datasets.Listing:
    """The data's frames, each with its part.

    Raises:
        DataError: there is nothing to list, or runs stand in training and held-out frames.
    """
    listing = datasets.read(data, [c.name for c in recipe.classes], to_train=True)
    listing.frames = splits.hold_out(
        listing.frames,
        share=recipe.data.validation,
        seed=recipe.data.split_seed,
        shared_runs=recipe.data.shared_runs,
    )
    return listing


def weld_classes(recipe: Recipe, names: Sequence[str]) -> list[WeldClass]:
    """The recipe's classes, or the data's with the roles that the recipe's ``accept`` gives them.

    Raises:
        RecipeError: ``accept`` names a class that the data lacks, or there are fewer than two classes.
    """
    if recipe.classes:
        return recipe.classes
    unknown = sorted(set(recipe.accept) - set(names))
    if unknown or len(names) < 2:
        raise RecipeError(
            f"recipe {recipe.name}: the data has the classes {list(names)}; accept adds {unknown}"
        )
    if not recipe.accept:
        log.warning(
            "no class is an accept class, so no frame will ever be a PASS; name them: --set accept=[good]"
        )
    return [WeldClass(name=name, role="accept" if name in recipe.accept else "defect") for name in names]


def describe(
    recipe: Recipe, listing: datasets.Listing, begin: initial_weights.Start, hardware: Hardware
) -> dict[str, Any]:
    """What a result depends on, for ``run.json`` and the head of ``results.json``."""
    return {
        "recipe": recipe.name,
        "architecture": recipe.network.architecture,
        "split_fingerprint": splits.fingerprint(listing.frames, listing.classes),
        "start": begin.sha256,
        "part": "valid",
        "data": str(listing.source.resolve()),
        "n_train": len(listing.part("train")),
        "n": len(listing.part("valid")),
        "seeds": {"recipe": recipe.seed} | seeds(recipe),
        "git_commit": git_commit(),
        "environment": environment() | {"hardware": str(hardware)},
    }


def finish(
    recipe: Recipe,
    network: nn.Module,
    classes: list[WeldClass],
    *,
    train: FrameSet,
    valid: FrameSet,
    results: dict[str, Any],
) -> Student:
    """The student with what was fitted: temperature, thresholds and novelty; ``results`` tell of them.

    The figures of accuracy stay what they were: a temperature changes no top class.
    """
    answers = predict(network, valid.images)
    calibration = calibrate(answers, valid.labels, valid.runs)
    thresholds, trade = choose(
        warm(answers, calibration.temperature), valid.labels, classes, **recipe.thresholds.model_dump()
    )
    log.info("%s; thresholds %s", calibration.why, thresholds.chosen)
    assert isinstance(network, WeldNet)  # noqa: S101 - the only one that a student may be
    seen = observe(network, train.images, valid.images)
    thresholds = thresholds.model_copy(update={"novelty": seen.threshold.value})
    results["calibration"] = asdict(calibration)
    results["thresholds"] = thresholds.model_dump() | {"trade": [asdict(point) for point in trade]}
    results["novelty"] = seen.threshold.told
    return Student(
        network,
        classes,
        golden_frames(recipe, train),
        metrics(results) | {"novelty": seen.threshold.told},
        recipe.resolved(),
        git_commit(),
        calibration.temperature,
        calibration.calibrated,
        thresholds,
        seen.ranges,
        seen.novelty,
    )


def leave(folder: RunFolder, results: dict[str, Any], networks: Sequence[str]) -> None:
    """Write what a finished run is known by: curves, the thresholds' trade, ``results.json``."""
    pictures.curves([log for log in map(folder.log, networks) if log.exists()], folder.path / "curves.png")
    if results.get("thresholds", {}).get("trade"):
        pictures.trade(results["thresholds"], folder.path / "thresholds.png")
    folder.write_json("results.json", results)  # last: a sweep takes a run that has it for done


def golden_frames(recipe: Recipe, train: FrameSet, most: int = 6) -> list[Tensor]:
    """The first training frame of each class as the camera gave it, uint8[h, w], for the golden frames."""
    firsts = {frame.label: frame.path for frame in reversed(train.frames)}
    paths = [firsts[label] for label in sorted(firsts)][:most]
    return [torch.from_numpy(read_image(path, bit_depth=recipe.data.bit_depth)) for path in paths]
