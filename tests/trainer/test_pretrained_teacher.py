"""A pretrained network as one more teacher: as a probe, and fine-tuned from there."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from tiny_runs import epochs, read_csv, run
from trainer_samples import class_folders
from training_samples import augmentation, frame_set, hyperparameters

from trainer.errors import RunError
from trainer.learning import pretrained_teacher, training
from trainer.learning.pretrained_teacher import changes, fit_head, kind_for
from trainer.network import lite0
from trainer.network.prediction import predict
from trainer.paper.runs import SINGLE, RunGroup
from trainer.recipe import Recipe, Training
from trainer.run.folder import RunFolder
from trainer.run.identity import Identity

CPU = torch.device("cpu")


@dataclass
class Finished:
    """A run with a probe as second teacher."""

    data: Path
    out: Path
    results: dict[str, Any]


def ensemble(pretrained: str) -> dict[str, Any]:
    """Changes of the tiny recipe: one WeldNet and a pretrained teacher, for one epoch."""
    return epochs(1) | {"ensemble": {"teachers": 1, "pretrained": pretrained}}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """Make one whole run."""
    folder = tmp_path_factory.mktemp("pretrained")
    data = class_folders(folder / "data")
    return Finished(data, folder / "out", run(data, folder / "out", **ensemble("probe")))


def test_a_probe_is_a_teacher_like_the_others(finished: Finished) -> None:
    """It has a row, a seed, a checkpoint and a log, and it knows the classes before a WeldNet does."""
    models = finished.results["models"]
    assert list(models)[:4] == ["teacher-1", "teacher-lite0", "mean", "focal"]
    assert models["teacher-lite0"]["accuracy"] == 1.0
    assert finished.results["seeds"]["teacher-lite0"] == 999
    rows = read_csv(finished.out / "logs" / "teacher-lite0.csv")
    assert [(row["epoch"], row["valid_accuracy"]) for row in rows] == [("1", "1.0")]


def test_a_run_resumes_with_the_probe_that_it_has(finished: Finished) -> None:
    """The same command reads the probe from its checkpoint, and another kind of teacher is refused."""
    checkpoint = finished.out / "checkpoints" / "teacher-lite0.pt"
    written = checkpoint.stat().st_mtime_ns
    assert run(finished.data, finished.out, **ensemble("probe")) == finished.results
    assert checkpoint.stat().st_mtime_ns == written
    with pytest.raises(RunError, match=r"ensemble\.pretrained is probe there, none here"):
        run(finished.data, finished.out, **ensemble("none"))


def test_it_is_lent_only_to_runs_with_the_same_kind(finished: Finished, tmp_path: Path) -> None:
    """A run with another kind of pretrained teacher takes a finished run's WeldNets, and trains its own."""
    identity = Identity(**json.loads((finished.out / "run.json").read_text()))
    recipe = yaml.safe_load((finished.out / "recipe.yaml").read_text())
    for pretrained, lent in (("probe", True), ("fine_tuned", False)):
        asked = recipe | {"ensemble": recipe["ensemble"] | {"pretrained": pretrained}}
        with RunFolder(tmp_path / pretrained) as folder:
            folder.link_teachers(finished.out, Recipe(**asked), identity)
        assert folder.checkpoint("teacher-1").exists()
        assert folder.checkpoint("teacher-lite0").exists() == lent


def test_the_head_is_fitted_to_the_training_frames() -> None:
    """A fitted network knows whole frames, and the head follows from the seed of the views."""
    train, made = frame_set(6), []
    for seed in (1, 1, 2):
        network = lite0.Classifier(2)
        logits = fit_head(network, train, augmentation(), seed, device=CPU)
        assert torch.equal(logits.argmax(dim=1), train.labels)
        made.append(network.head.weight.detach().clone())
    assert torch.equal(made[0], made[1])
    assert not torch.equal(made[0], made[2])
    assert torch.equal(predict(network, frame_set(4, side=64).images).argmax(dim=1), frame_set(4).labels)


def test_fine_tuning_changes_the_weights_but_not_the_statistics(tmp_path: Path) -> None:
    """Convolutions change slightly, batch norm's statistics stay, and a resumed training ends alike."""
    plan = hyperparameters(**changes("fine_tuned", Training(epochs=6)))
    train, made = frame_set(8), []
    for name, stops in (("whole", [2]), ("resumed", [1, 2])):
        for epoch in stops:
            network = lite0.Classifier(2)
            torch.nn.init.zeros_(network.head.weight)
            torch.nn.init.zeros_(network.head.bias)
            part = plan.model_copy(update={"epochs": epoch})
            training.fit(network, train, augmentation(), part, checkpoint=tmp_path / name)
        made.append(network.state_dict())
    for name, before in lite0.pretrained().state_dict().items():
        after = made[0][f"body.{name}"]
        assert torch.equal(after, made[1][f"body.{name}"])
        if "running" in name:
            assert torch.equal(after, before)
        elif name.endswith("0.weight") and before.dim() == 4:
            assert 0 < float((after - before).abs().max()) < 0.01


def test_auto_follows_the_number_of_frames() -> None:
    """Few frames get a probe and more a fine-tuned network, with a third of the epochs; none is none."""
    most = pretrained_teacher.MAX_FRAMES_FOR_PROBE
    assert kind_for("auto", most) == "probe"
    assert kind_for("auto", most + 1) == "fine_tuned"
    assert kind_for("probe", most + 1) == "probe"
    assert kind_for("none", most) is None
    assert changes("fine_tuned", Training(epochs=60, min_steps=1400))["epochs"] == 20
    assert changes("probe", Training(epochs=60, min_steps=1400)) == {"epochs": 1, "min_steps": 0}


def test_tables_keep_it_apart_from_the_single_networks() -> None:
    """A single network of the tables is a WeldNet, and the pretrained teacher has a row of its own."""
    models: Any = {
        "teacher-1": {"accuracy": 0.5},
        "teacher-lite0": {"accuracy": 0.9},
        "mean": {"accuracy": 0.7},
    }
    group = RunGroup("run", Path(), "weldnet", 1, 1, None, [models], [])
    assert group.values(SINGLE) == [0.5]
    assert group.values("teacher-lite0") == [0.9]
    assert group.teachers == 1
