"""``weld-train run --final``: a network that has learnt from the held-out frames, too."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_runs import epochs, only_json, weld_train, write_recipe
from trainer_samples import class_folders

from inspector.network import metadata
from trainer import final, pipeline
from trainer.artifact.student import Student
from trainer.run.folder import read_split


@dataclass
class Finished:
    """A run, and the final one in its folder."""

    recipe: Path
    data: Path
    out: Path
    result: dict[str, Any]

    def command(self, *more: object) -> list[object]:
        """Return the arguments that a user types."""
        return ["run", self.recipe, "--data", self.data, "--out", self.out, *more, "--json"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """Make a run and its final network by one command."""
    root = tmp_path_factory.mktemp("final")
    recipe = write_recipe(root / "tiny.yaml", **epochs(8), ensemble={"teachers": 1})
    made = Finished(recipe, class_folders(root / "data", frames=4), root / "out", {})
    status, stdout, stderr = weld_train(*made.command("--final"))
    assert status == 0, stderr
    assert "final network: the figures are those of the run before, which held out 8 of 24 frames" in stderr
    made.result.update(only_json(stdout))
    return made


def test_it_learns_from_every_frame(finished: Finished) -> None:
    """The final network has learnt from the held-out frames, too, and names nearly all of them."""
    before = metadata.read(finished.out / pipeline.ARTIFACT_FILE)
    written = metadata.read(finished.out / final.FINAL_FOLDER / pipeline.ARTIFACT_FILE)
    assert (len(before.training_frames or ()), len(written.training_frames or ())) == (16, 24)
    assert {row["part"] for row in read_split(finished.out / final.FINAL_FOLDER)} == {"train"}
    assert finished.result["learnt"]["n"] == 8
    one, other = (
        Student.load(out / "student.pt") for out in (finished.out, finished.out / final.FINAL_FOLDER)
    )
    assert not torch.equal(one.network.head.weight, other.network.head.weight)
    history = torch.load(finished.out / final.FINAL_FOLDER / "checkpoints" / "student.pt", weights_only=True)[
        "history"
    ]
    assert len(history) == 8, "as many epochs as the run before"


def test_its_figures_are_those_of_the_run_before(finished: Finished) -> None:
    """Accuracy, temperature and thresholds are the honest ones; results and metadata say whose they are."""
    before = json.loads((finished.out / "results.json").read_text())
    assert finished.result == json.loads((finished.out / final.FINAL_FOLDER / "results.json").read_text())
    assert finished.result["models"] == before["models"]
    assert (finished.result["n"], finished.result["n_train"]) == (8, 24)
    first = metadata.read(finished.out / pipeline.ARTIFACT_FILE)
    written = metadata.read(finished.out / final.FINAL_FOLDER / pipeline.ARTIFACT_FILE)
    assert (written.temperature, written.thresholds) == (first.temperature, first.thresholds)
    for name in ("accuracy", "macro_f1", "per_class", "escapes", "n"):
        assert written.metrics[name] == first.metrics[name]
    assert (first.keeps_wish, written.keeps_wish) == (False, False)
    assert written.promise == finished.result["thresholds"]["promise"]["words"]
    assert written.promise.startswith("nothing can be promised: this network has learnt")
    assert written.metrics["n_train"] == 24
    assert "an estimate, for other weights" in written.metrics["figures"]
    assert finished.result["figures"] == written.metrics["figures"]


def test_the_same_command_trains_nothing_again(finished: Finished) -> None:
    """A finished final run gives the same artifact; another recipe or a change of the data is refused."""
    artifact = finished.out / final.FINAL_FOLDER / pipeline.ARTIFACT_FILE
    before = artifact.read_bytes()
    status, stdout, stderr = weld_train(*finished.command("--final"))
    assert status == 0
    assert only_json(stdout) == finished.result
    assert artifact.read_bytes() == before
    assert "epoch" not in stderr
    status, _, stderr = weld_train(*finished.command("--final", "--set", "training.momentum=0.5"))
    assert status == 2
    assert "training.momentum is 0.9 there, 0.5 here" in stderr


def test_learnt_frames_are_not_judged(finished: Finished) -> None:
    """The commands evaluate and compare know that the final network has learnt from the held-out frames."""
    artifact = finished.out / final.FINAL_FOLDER / pipeline.ARTIFACT_FILE
    status, _, stderr = weld_train("evaluate", artifact, "--data", finished.data)
    assert status == 2
    assert "24 × learnt from" in stderr


def test_a_final_network_that_has_not_learnt_is_named() -> None:
    """A verdict forbids an artifact that is worse on learnt frames than the run before was without."""
    before = {"models": {"artifact": {"accuracy": 0.95}}}
    assert final.collapse(95, 100, before) == {}
    verdict = final.collapse(60, 100, before)["training_verdict"]
    assert verdict.startswith(metadata.TrainingVerdict.DO_NOT_DEPLOY)
