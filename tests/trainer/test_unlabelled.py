"""Frames without labels for the student: the choice of frames, and resuming."""

from __future__ import annotations

import io
import logging
from pathlib import Path

import pytest
import torch
from rich.console import Console
from tiny_runs import RECIPE, run
from trainer_samples import class_folders, write_picture
from training_samples import augmentation, frame_set, hyperparameters, tiny

from trainer import pipeline
from trainer.data import datasets, unlabelled
from trainer.data.frames import FrameSet
from trainer.errors import DataError, RunError
from trainer.learning import training
from trainer.learning.distillation import PseudoLabels
from trainer.pipeline import Stage
from trainer.recipe import Recipe
from trainer.run.progress import Progress

QUICK = {"training": RECIPE["training"] | {"epochs": 4}, "ensemble": {"teachers": 1}}
SURE = QUICK | {"distillation": {"epochs": 2, "confidence": 1.0}}  # no network is so sure
ANY = QUICK | {"distillation": {"epochs": 2, "confidence": 0.0}}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make ``data``, and ``more``: frames without labels, a broken one and a labelled one."""
    root = tmp_path_factory.mktemp("unlabelled")
    data = class_folders(root / "data", frames=4)
    for label in (0, 1):
        for number in range(5):
            write_picture(root / "more" / f"{label}{number}.png", label, 900 + number)
    (root / "more" / "broken (1).png").write_bytes(b"no image")
    (root / "more" / "known.png").symlink_to(data / "bad" / "bad-run0" / "0.png")
    run(data, root / "without", Stage.STUDENT, **SURE)
    return root


def last_layer(out: Path) -> torch.Tensor:
    """Return the weights of the student's last layer."""
    return torch.load(out / "student.pt", weights_only=True)["weights"]["head.weight"]


def test_sure_frames_change_the_student(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Labelled and broken frames are left out, sure frames are used, and the student changes."""
    with caplog.at_level(logging.INFO):
        run(root / "data", root / "fed", Stage.STUDENT, unlabelled=root / "more", **ANY)
    assert "of 10 of 11 unlabelled frames the ensemble is 0% sure" in caplog.text
    assert "1 cannot be read" in caplog.text
    assert not torch.equal(last_layer(root / "fed"), last_layer(root / "without"))


def test_the_time_estimate_covers_unlabelled_frames(root: Path) -> None:
    """The progress of the student's training ends at its total, with unlabelled frames too."""

    class Counting(Progress):
        """Progress that records each task's total and the amount done."""

        def __init__(self) -> None:
            super().__init__(Console(file=io.StringIO()))
            self.tasks: list[list[float]] = []

        def begin(self, task: str, total: float) -> None:
            super().begin(task, total)
            self.tasks.append([total, 0.0])

        def advance(self, done: float = 1) -> None:
            super().advance(done)
            self.tasks[-1][1] += done

    counting = Counting()
    recipe = Recipe(**RECIPE | ANY)
    pipeline.run(recipe, root / "data", root / "counted", counting, Stage.STUDENT, unlabelled=root / "more")
    announced, done = counting.tasks[-1]
    assert announced == pytest.approx(done) != 0


def test_frames_of_which_the_ensemble_is_not_sure_are_left_out(root: Path) -> None:
    """If the ensemble is sure of no frame, the student equals one without unlabelled frames, and resumes."""
    for _ in range(2):
        run(root / "data", root / "unsure", Stage.STUDENT, unlabelled=root / "more", **SURE)
    assert torch.equal(last_layer(root / "unsure"), last_layer(root / "without"))
    with pytest.raises(RunError, match="began with other frames in --unlabelled"):
        run(root / "data", root / "unsure", **SURE)


def test_a_student_that_began_without_them_refuses_them(root: Path) -> None:
    """A student that began without unlabelled frames refuses to resume with them."""
    with pytest.raises(RunError, match="its student began without --unlabelled"):
        run(root / "data", root / "without", unlabelled=root / "more", **SURE)


def test_a_folder_with_only_labelled_frames_is_refused(root: Path) -> None:
    """A folder that has only labelled frames is an error."""
    with pytest.raises(DataError, match="no images except labelled ones"):
        unlabelled.find(root / "data", datasets.read(root / "data").frames)


def test_frames_without_a_label_enter_no_accuracy(tmp_path: Path) -> None:
    """Training accuracy counts only the labelled frames."""
    frames = frame_set(20)
    half = FrameSet(frames.images, frames.labels.clone(), frames.frames)
    half.labels[::2] = unlabelled.NO_LABEL
    history = training.fit(
        tiny(),
        half,
        augmentation(),
        hyperparameters(),
        checkpoint=tmp_path / "c.pt",
        targets=PseudoLabels([tiny()], kind="mean", k=2),
    )
    counted = history[0].train_accuracy * 10
    assert counted == pytest.approx(round(counted))
