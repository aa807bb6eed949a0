"""The story of a run: frames → teachers → ensemble → student → artifact → results.

Every stage writes a file to the run folder and starts from the files of the stages before it. So the same
command resumes a run that was stopped. No network is chosen by the held-out frames. They are used to report
results, and at the end to fit the temperature and the thresholds, which changes no top class; the figures
that depend on these are of other held-out frames (:mod:`trainer.evaluation.tuning`).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from inspector.imaging.decoder import read_image
from inspector.network.metadata import ArtifactError, ArtifactFile, WeldClass
from trainer.artifact.artifact import MAX_GOLDEN_FRAMES, MAX_GOLDEN_SIDE
from trainer.artifact.fitting import fit_ranges, fit_schemes
from trainer.artifact.student import Fit, Student
from trainer.data import datasets, duplicates, joining, splits
from trainer.data.frames import FrameSet
from trainer.data.joining import DataSets
from trainer.errors import RecipeError
from trainer.evaluation import pictures, run_page, training_verdict
from trainer.evaluation.judging import open_network
from trainer.evaluation.metrics import ModelMetrics
from trainer.evaluation.report import evaluate_compiled, evaluate_networks, evaluate_test, run_metrics
from trainer.evaluation.results import Results, StudentFit
from trainer.evaluation.tuning import tuning_frames
from trainer.learning.networks import Networks, network_seeds, refuse_too_many_processes
from trainer.learning.processes import Hardware
from trainer.network import initial_weights
from trainer.network.architectures import parameter_count
from trainer.network.student_file import STUDENT_FILE, TUNING_FRAMES
from trainer.network.weldnet import WeldNet
from trainer.recipe import Recipe
from trainer.run.folder import RESULTS_FILE, RunFolder
from trainer.run.identity import Identity, environment, git_commit
from trainer.run.progress import Progress
from trainer.run.random_split import near_duplicates, with_recorded_parts
from trainer.run.reading import Reader, with_frame_size

log = logging.getLogger(__name__)

ARTIFACT_FILE = "weldnet.pt"  # in the run folder; the name that a station's settings expect


class Stage(StrEnum):
    """The last stage of a run; it includes the stages before it."""

    TEACHERS = "teachers"
    STUDENT = "student"
    RESULTS = "results"


@dataclass(frozen=True)
class StageSummary:
    """Report of a run that ends before its results."""

    stage: Stage
    out: Path
    made: dict[str, Any]  # ``teachers``: their number, or ``student``: its file

    def as_json(self) -> dict[str, Any]:
        """Return the fields that the command prints."""
        return {"stage": self.stage, "out": str(self.out), **self.made}


def run(
    recipe: Recipe,
    data: Path | DataSets,
    out: Path,
    progress: Progress,
    until: Stage = Stage.RESULTS,
    *,
    unlabelled: Path | None = None,
    teachers_from: Path | None = None,
    split_from: Sequence[Path] = (),
    hardware: Hardware | None = None,
) -> Results | StageSummary | None:
    """Run or resume a recipe up to a stage; if several processes learn, only their leader has results.

    ``unlabelled`` is a folder of more frames for the student. ``teachers_from`` is a finished run: its
    teachers are used if this run's teachers would be the same. ``split_from`` are runs whose split is used if
    it is of the same frames and keys. The function is long, because it is the story.

    Raises:
        TrainerError: see :mod:`trainer.errors`; a UsageError comes before any training.
    """
    hardware = hardware or Hardware()
    listing = list_frames(recipe, data, split_from=[out, *split_from], progress=progress)
    classes = weld_classes(recipe, listing.classes)
    refuse_too_many_processes(recipe, len(listing.part("train")), hardware)
    recipe = with_frame_size(recipe, listing)
    start = initial_weights.read(recipe.network, listing.classes)
    identity = identify(recipe, data, listing, start.sha256, hardware)
    names = splits.fingerprint_of_names(listing.frames, listing.classes)
    with RunFolder(out, leader=hardware.leader) as folder, progress:
        identity = folder.check_identity(recipe, identity, names)
        if teachers_from:
            folder.link_teachers(teachers_from, recipe, identity)
            hardware.wait()
        reader = Reader(recipe, folder, progress)
        train, valid = reader.labelled(listing)
        folder.write_identity(recipe, identity, listing.frames, listing.classes)

        networks = Networks(
            recipe, len(classes), start, hardware, train=train, valid=valid, folder=folder, progress=progress
        )
        teachers = networks.train_teachers()
        if until is Stage.TEACHERS:
            return StageSummary(until, out, {"teachers": len(teachers)})
        network = None
        if recipe.trains_student:
            frames = reader.with_unlabelled(train, unlabelled, listing, teachers)
            network = networks.train_student(teachers, frames)
        if not hardware.leader:
            return None

        models = evaluate_networks(
            teachers,
            network,
            train,
            valid,
            listing.classes,
            k=recipe.ensemble.k,
            reader=reader,
            progress=progress,
        )
        trained, linear = train.counts(len(classes)), models["ridge"]
        verdict = training_verdict.judge(models["focal"], linear, classes, trained, recipe.thresholds)
        results = Results(identity, parameter_count(teachers[0]), models, verdict, networks.restarts)
        if network:
            about = run_metrics(identity, frames.hashes, start.learnt)
            student, results.student = fit_student(
                recipe,
                network,
                classes,
                train,
                valid,
                linear=linear,
                about=about,
                commit=identity.git_commit,
            )
            student.save(out / STUDENT_FILE)
            if until is Stage.STUDENT:
                made = {"student": str(out / STUDENT_FILE), "training_verdict": results.verdict.words}
                return StageSummary(until, out, made)
            if not is_artifact(out / ARTIFACT_FILE):
                student.compile(recipe.artifact.scheme, out / ARTIFACT_FILE)
            models["artifact"], results.artifact = evaluate_compiled(
                out / ARTIFACT_FILE, network, valid, tuning_frames(valid.labels, valid.runs)
            )
            results.test = evaluate_test(out / ARTIFACT_FILE, listing, progress)
        write_results(folder, results)
        return results


def list_frames(
    recipe: Recipe,
    data: Path | DataSets,
    *,
    split_from: Sequence[Path] = (),
    progress: Progress | None = None,
) -> datasets.Listing:
    """List the frames of the data, each with its part and the hash of its file.

    If the split is random, it is that of the first run of ``split_from`` with the same frames. Otherwise
    near-duplicates are looked for, so that none is on both sides.

    Raises:
        DataError: there are no frames, or a welding run is in both the training and the held-out part.
    """
    listing = joining.read(data, [c.name for c in recipe.classes], bit_depth=recipe.data.bit_depth)
    hashed = duplicates.with_hashes(listing.frames)
    listing.problems += duplicates.under_two_labels(hashed, listing.classes)
    random = splits.split_at_random(hashed)
    recorded = with_recorded_parts(hashed, listing.classes, recipe, split_from) if random else None
    if recorded:
        listing.frames = recorded
        return listing
    learnt = initial_weights.learnt_frames(recipe.network)
    if learnt:
        hashed = duplicates.with_pixel_hashes(hashed, recipe.data.bit_depth)
    listing.frames = splits.hold_out(
        hashed,
        share=recipe.data.validation,
        seed=recipe.data.split_seed,
        shared_runs=recipe.data.shared_runs,
        classes=listing.classes,
        learnt={frame.name for frame in hashed if frame.pixels in learnt},
        alike=near_duplicates(random, recipe, progress),
    )
    duplicates.warn_of_shared(listing.frames)
    return listing


def weld_classes(recipe: Recipe, names: Sequence[str]) -> list[WeldClass]:
    """Return the classes with their roles: those of the recipe, else those of the data.

    A class of the data is an accept class if the recipe's ``accept`` names it, else a defect class.

    Raises:
        RecipeError: ``accept`` names a class that the data lacks, or every class, or there are fewer than two
            classes.
    """
    if recipe.classes:
        return recipe.classes
    if len(names) < 2:
        raise RecipeError(
            f"recipe {recipe.name}: the data has only the class {names[0]!r}, and a network needs two to "
            "tell apart; add the data that has the others: --data OLD --data NEW"
        )
    unknown = sorted(set(recipe.accept) - set(names))
    if unknown:
        raise RecipeError(
            f"recipe {recipe.name}: the data has the classes {list(names)}; accept also names {unknown}; "
            "add the data that has the other classes: --data OLD --data NEW"
        )
    if set(names) == set(recipe.accept):
        raise RecipeError(
            f"recipe {recipe.name}: accept names every class, so nothing could FAIL; leave the defects out"
        )
    if not recipe.accept:
        log.warning(
            "no class is an accept class, so no frame will ever be a PASS; name accept classes: "
            "--set accept=[good]"
        )
    return [WeldClass(name=name, role="accept" if name in recipe.accept else "defect") for name in names]


def identify(
    recipe: Recipe, data: Path | DataSets, listing: datasets.Listing, start: str | None, hardware: Hardware
) -> Identity:
    """Return what the result depends on; ``start`` is the SHA-256 of the student that networks start from."""
    return Identity(
        recipe=recipe.name,
        architecture=recipe.network.architecture,
        split_fingerprint=splits.fingerprint(listing.frames, listing.classes),
        start=start,
        part="valid",
        data=DataSets.of(data).resolved(),
        n_train=len(listing.part("train")),
        n=len(listing.part("valid")),
        seeds={"recipe": recipe.seed} | network_seeds(recipe),
        git_commit=git_commit(),
        environment=environment() | {"hardware": str(hardware)},
    )


def fit_student(
    recipe: Recipe,
    network: nn.Module,
    classes: list[WeldClass],
    train: FrameSet,
    valid: FrameSet,
    *,
    linear: ModelMetrics,
    about: dict[str, Any],
    commit: str | None,
) -> tuple[Student, StudentFit]:
    """Compile the student for each scheme, fit and judge the compiled networks; return it with the fits.

    ``linear`` are the metrics of the linear model, ``about`` those that all schemes share, ``commit`` is of
    the run. The second value is the fit of the recipe's scheme.
    """
    assert isinstance(network, WeldNet)  # noqa: S101 - no other network becomes a student
    ranges = fit_ranges(network, train.images)
    fits = fit_schemes(network, ranges, train.images, valid, classes=classes, wishes=recipe.thresholds)
    tuned = fits["none"].tuning.tolist()  # labels and runs decide, so it is the same for each scheme
    verdicts = {name: each.verdict(linear, classes, train, recipe.thresholds) for name, each in fits.items()}
    student = Student(
        network,
        classes,
        golden_frames(recipe, train),
        about | {TUNING_FRAMES: sorted(valid.only(tuned).hashes)},
        recipe.resolved(),
        commit,
        ranges,
        {scheme: Fit.of(each, verdicts[scheme]) for scheme, each in fits.items()},
    )
    scheme = recipe.artifact.scheme if recipe.artifact.scheme in fits else "none"
    fitted = fits[scheme]
    log.info("%s; thresholds %s", fitted.calibration.why, fitted.choice.thresholds.chosen)
    log.info("promise: %s", fitted.choice.promise.words)
    return student, StudentFit(
        fitted.calibration,
        fitted.thresholds,
        fitted.choice.trade,
        fitted.choice.promise,
        fitted.reported,
        int(fitted.tuning.sum()),
        fitted.novelty_threshold.metadata,
        verdicts[scheme],
    )


def golden_frames(recipe: Recipe, train: FrameSet) -> list[Tensor]:
    """Read a training frame of some classes as the camera wrote it, uint8[h, w]; of a large one, the middle.

    An artifact checks itself with a few frames, so the classes are spread over all of them.
    """
    firsts = {frame.label: frame.path for frame in reversed(train.frames)}
    labels = sorted(firsts)
    spread = torch.linspace(0, len(labels) - 1, min(len(labels), MAX_GOLDEN_FRAMES)).round().int().tolist()
    pixels = [read_image(firsts[labels[n]], bit_depth=recipe.data.bit_depth) for n in spread]
    return [torch.from_numpy(_middle(each)) for each in pixels]


def is_artifact(path: Path) -> bool:
    """Whether a run has its artifact; one that is torn is named, and compiled again."""
    if not path.exists():
        return False
    try:
        file = ArtifactFile.read(path, others_may_write=True)  # this run has made it
        file.metadata()
        open_network(file)
    except ArtifactError as error:
        log.warning("%s; this run does so", error)
        return False
    return True


def _middle(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width = (min(side, MAX_GOLDEN_SIDE) for side in pixels.shape)
    top, left = (pixels.shape[0] - height) // 2, (pixels.shape[1] - width) // 2
    return pixels[top : top + height, left : left + width].copy()


def write_results(folder: RunFolder, results: Results) -> None:
    """Write the curves, the picture of the thresholds, the page and ``results.json``; log the verdict."""
    if not results.artifact:
        log.info("no student, so no artifact: this run is for comparison with others")
    logs = [folder.log(name) for name in results.identity.seeds if name != "recipe"]
    pictures.curves([log for log in logs if log.exists()], folder.path / "curves.png")
    content = results.as_json()
    if results.student and results.student.trade:
        pictures.trade_off(content["thresholds"], folder.path / "thresholds.png")
    folder.write(run_page.PAGE_FILE, run_page.render(content, folder.path, datetime.now().astimezone()))
    folder.write_json(RESULTS_FILE, content)  # last, because a sweep takes a run with this file as done
    results.verdict.log()
