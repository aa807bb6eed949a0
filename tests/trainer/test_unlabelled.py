"""Frames without labels for the student: which are taken, and that a run stays what it began as."""

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
SURE = QUICK | {"distillation": {"epochs": 2, "confidence": 1.0}}  # which no network is
ANY = QUICK | {"distillation": {"epochs": 2, "confidence": 0.0}}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``data``, and ``more`` frames without labels, a broken and a labelled one among them."""
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
    """The student's last weights."""
    return torch.load(out / "student.pt", weights_only=True)["weights"]["head.weight"]


def test_sure_frames_change_the_student(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Labelled and broken frames are left out, sure ones are learnt from, and it makes a difference."""
    with caplog.at_level(logging.INFO):
        run(root / "data", root / "fed", Stage.STUDENT, unlabelled=root / "more", **ANY)
    assert "of 10 of 11 unlabelled frames the ensemble is 0% sure" in caplog.text
    assert "1 cannot be read" in caplog.text
    assert not torch.equal(last_layer(root / "fed"), last_layer(root / "without"))


def test_the_time_estimate_covers_unlabelled_frames(root: Path) -> None:
    """Progress of the student's training ends at its total, with unlabelled frames as without."""

    class Counting(Progress):
        """What was announced and how much was done of it, by its name."""

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
    """Where no frame is sure enough, the student learns as without, to the last bit; and it resumes."""
    for _ in range(2):
        run(root / "data", root / "unsure", Stage.STUDENT, unlabelled=root / "more", **SURE)
    assert torch.equal(last_layer(root / "unsure"), last_layer(root / "without"))
    with pytest.raises(RunError, match="began with other frames in --unlabelled"):
        run(root / "data", root / "unsure", **SURE)


def test_a_student_that_began_without_them_refuses_them(root: Path) -> None:
    """Adding unlabelled frames to a student that is there is refused by name."""
    with pytest.raises(RunError, match="its student began without --unlabelled"):
        run(root / "data", root / "without", unlabelled=root / "more", **SURE)


def test_a_folder_with_only_labelled_frames_is_refused(root: Path) -> None:
    """Nothing new to learn from is an error, not a silence."""
    with pytest.raises(DataError, match="no images in it but labelled ones"):
        unlabelled.find(root / "data", datasets.read(root / "data").frames)


def test_frames_without_a_label_enter_no_accuracy(tmp_path: Path) -> None:
    """A training set with unlabelled frames trains, and its accuracy counts the labelled alone."""
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
