"""Networks that do not learn: they begin again, the run says so, and the station refuses what comes of it."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from sqlalchemy.engine import URL
from stations import Station
from tiny_runs import RECIPE, run
from torch import nn
from trainer_samples import class_folders, write_picture
from training_samples import frame_set, hyperparameters, tiny

from inspector.network import metadata
from trainer.artifact.student import Student
from trainer.errors import TrainingError
from trainer.evaluation.linear_baseline import cross_validated
from trainer.learning import training
from trainer.learning.networks import Networks
from trainer.learning.processes import Hardware
from trainer.learning.restarts import Attempts, LearningCheck, NotLearnt
from trainer.network.initial_weights import InitialWeights
from trainer.pipeline import ARTIFACT_FILE
from trainer.recipe import Network, Recipe
from trainer.run.folder import RunFolder
from trainer.run.progress import Progress

SMALL = {
    "network": {"height": 64, "width": 64, "stem": 8, "plan": [(1, 1), (2, 2)]},
    "ensemble": {"teachers": 1},
    "distillation": {"epochs": 2},
}
FAR_TOO_HIGH = 20.0  # a learning rate with which this network names one class; 0.05 is right


def learning(rate: float, restarts: int, steps: int = 100) -> dict[str, Any]:
    """Two epochs of fifty steps."""
    return {"epochs": 2, "min_steps": steps, "batch_size": 4, "learning_rate": rate, "restarts": restarts}


@dataclass
class Finished:
    """A whole run, with what it logged."""

    out: Path
    results: dict[str, Any]
    lines: list[str]


@pytest.fixture(scope="module")
def collapsed(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """A run with a learning rate that is far too high, and one restart, which does not help."""
    folder = tmp_path_factory.mktemp("collapsed")
    return whole_run(class_folders(folder / "data"), folder / "out", learning(FAR_TOO_HIGH, restarts=1))


def whole_run(data: Path, out: Path, training: dict[str, Any]) -> Finished:
    """Run every stage, and keep the log."""
    lines: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
    trainer_log = logging.getLogger("trainer")
    level = trainer_log.level
    trainer_log.addHandler(handler)
    trainer_log.setLevel(logging.INFO)
    try:
        return Finished(out, run(data, out, **SMALL, training=training), lines)
    finally:
        trainer_log.removeHandler(handler)
        trainer_log.setLevel(level)


def test_collapse_is_told_in_one_line_and_counted(collapsed: Finished) -> None:
    """A log line says why the teacher begins again and how; results and checkpoint count the restart."""
    [line] = [line for line in collapsed.lines if line.startswith("teacher-1 has not learnt: ")]
    assert "after 1 of 2 epochs it names one class for all frames, and its balanced accuracy is 50%" in line
    assert line.endswith("it starts again with learning rate 5 (restart 1 of 1)")
    [restart] = collapsed.results["restarts"]["teacher-1"]
    assert restart["why"] in line
    assert restart["then"] == "with learning rate 5"
    checkpoint = collapsed.out / "checkpoints" / "teacher-1.pt"
    assert training.restarts_done(checkpoint) == [restart]
    assert training.epochs_done(checkpoint) == 2


def test_the_verdict_is_the_last_line_and_in_the_artifact(collapsed: Finished) -> None:
    """Log, results, artifact and student have the same words: do not deploy, and why."""
    words = collapsed.results["training_verdict"]
    assert words.startswith("do not deploy: ")
    assert "for each of " in words, "one class is named for all frames"
    assert collapsed.lines[-1] == f"verdict: {words}"
    assert metadata.read(collapsed.out / ARTIFACT_FILE).training_verdict == words
    fits = Student.load(collapsed.out / "student.pt").fits
    assert fits["dynamic"].metrics["training_verdict"] == words


def test_the_station_refuses_the_artifact(
    collapsed: Finished, tmp_path: Path, url_of: Callable[[str], URL]
) -> None:
    """``weld-inspect run`` ends with status 2 and one line with the verdict."""
    station = Station(tmp_path, collapsed.out / ARTIFACT_FILE, url_of("sqlite"))
    done = station.command("run")
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert collapsed.results["training_verdict"] in line


def test_labels_at_random_are_refused_without_a_restart(tmp_path: Path) -> None:
    """Both kinds of picture have each label equally often, so there is nothing to learn or to repeat."""
    for part, count in (("train", 4), ("valid", 8)):
        for kind in (0, 1):
            for name in ("bad", "good"):
                for number in range(count):
                    seed = 1000 * (name == "good") + 100 * (part == "valid") + number
                    write_picture(tmp_path / "data" / part / name / f"{kind}-{number}.png", kind, seed)
    finished = whole_run(tmp_path / "data", tmp_path / "out", learning(0.05, restarts=2))
    assert finished.results["training_verdict"].startswith("do not deploy: ")
    assert finished.results["restarts"] == {}


class Interrupted(Progress):
    """A progress display at which the user presses Ctrl-C after so many batches; 0: never."""

    def __init__(self, batches: int) -> None:
        super().__init__(Console(file=io.StringIO()))
        self.batches, self.total, self.done = batches, 0.0, 0.0

    def begin(self, task: str, total: float) -> None:
        self.total, self.done = total, 0.0

    def extend(self, more: float) -> None:
        self.total += more

    def advance(self, done: float = 1) -> None:
        self.done += done
        self.batches -= 1
        if self.batches == 0:
            raise KeyboardInterrupt


def teacher(
    out: Path, training: dict[str, Any], interrupted: int = 0
) -> tuple[nn.Module, Networks, Interrupted]:
    """Train one teacher in a run folder, and return it."""
    recipe = Recipe(**RECIPE | SMALL | {"training": training})
    progress = Interrupted(interrupted)
    frames = frame_set(12)
    with RunFolder(out) as folder:
        parts = {"train": frames, "valid": frame_set(2, side=64), "folder": folder, "progress": progress}
        networks = Networks(recipe, 2, InitialWeights(), Hardware(), **parts)
        [network] = networks.train_teachers()
    return network, networks, progress


def test_a_restarted_network_resumes_to_the_same_weights(tmp_path: Path) -> None:
    """Stopped at the decision or in the second attempt, the same call ends with the same weights."""
    whole, networks, progress = teacher(tmp_path / "whole", learning(FAR_TOO_HIGH, 1))
    assert len(networks.restarts["teacher-1"]) == 1
    student = 12 * 17 * 2 * 1.25  # frames per pass, passes per epoch, epochs, and what pseudo labels cost
    assert progress.total - progress.done == pytest.approx(student), "the time estimate covers the restart"
    for batches in (52, 60 + 54):  # an epoch is 51 batches
        out = tmp_path / str(batches)
        with pytest.raises(KeyboardInterrupt):
            teacher(out, learning(FAR_TOO_HIGH, 1), interrupted=batches)
        resumed, again, _ = teacher(out, learning(FAR_TOO_HIGH, 1))
        assert again.restarts == networks.restarts
        assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), resumed.parameters(), strict=True))


def test_without_restarts_and_with_unneeded_ones_the_weights_are_those_of_before(tmp_path: Path) -> None:
    """A network that learns never begins again, and the looks at it change nothing."""
    plain, _, _ = teacher(tmp_path / "0", learning(0.05, 0, steps=240))
    looked_at, networks, _ = teacher(tmp_path / "2", learning(0.05, 2, steps=240))
    assert networks.restarts["teacher-1"] == []
    assert all(torch.equal(a, b) for a, b in zip(plain.parameters(), looked_at.parameters(), strict=True))


def attempts(
    made: int, *, restarts: int = 3, start: InitialWeights | None = None, **network: Any
) -> Attempts:
    """The attempts at a network after so many restarts."""
    before: list[training.Restart] = [{"why": "", "then": ""}] * made
    start = start or InitialWeights()
    return Attempts(before, restarts, Network(**network), start, hyperparameters())


def test_attempts_change_the_start_and_then_the_learning_rate() -> None:
    """As the recipe says; the shipped weights; then a quarter of the rate each time; seeds differ."""
    found = [attempts(made).current() for made in range(4)]
    assert [bool(start.layers) for start, _ in found] == [False, True, True, True]
    assert [how.learning_rate for _, how in found] == pytest.approx([0.01, 0.01, 0.0025, 0.000625])
    assert found[0][1] == hyperparameters()
    assert len({how.seed for _, how in found}) == 4
    words = [attempts(made).begin_again(NotLearnt("it has not")) for made in range(3)]
    assert "again from the weights that ship with the program (restart 1 of 3)" in words[0]
    assert "again with learning rate 0.0025 (restart 2 of 3)" in words[1]


def test_other_networks_change_the_learning_rate_at_once() -> None:
    """Networks of another shape, and those that began with a student's weights, have no other start."""
    for changes in ({"stem": 8}, {"architecture": "resnet18"}):
        assert attempts(1, **changes).current()[1].learning_rate == pytest.approx(0.0025)
    start = InitialWeights({"any": torch.zeros(1)})
    assert attempts(1, start=start).current()[0] is start
    assert attempts(2, start=start).current()[1].learning_rate == pytest.approx(0.000625)


def test_without_an_attempt_left_the_error_stays() -> None:
    """A loss that is not a number begins again if the recipe allows it, and else ends the run as before."""
    error = TrainingError("the loss is nan in epoch 3, batch 1 of 9 (a.png, b.png): lower the rate")
    assert attempts(0).begin_again(error).startswith("the loss is nan in epoch 3, batch 1 of 9; it starts")
    with pytest.raises(TrainingError):
        attempts(3).begin_again(error)


def test_the_linear_model_answers_frames_that_it_has_not_learnt() -> None:
    """Its answers come from other folds; a class of one frame is unknown to them."""
    frames = frame_set(20)
    assert (cross_validated(frames, 2) == frames.labels).double().mean() > 0.8
    frames.labels[0] = 2
    assert cross_validated(frames, 3)[0] == -1


def test_a_hopeless_set_gives_no_reason_to_begin_again() -> None:
    """If the linear model finds nothing, a network that names one class may be the best there is."""
    plan = hyperparameters(**learning(0.05, 2))
    usual, hopeless = frame_set(24), frame_set(24)
    hopeless.labels[:] = (torch.arange(24) // 2) % 2  # each kind of picture has both labels
    assert LearningCheck(usual, 2, (64, 64)).trouble(1, plan, tiny()) is not None
    assert LearningCheck(hopeless, 2, (64, 64)).trouble(1, plan, tiny()) is None
