"""Networks that start from another student: they take its layers, and a run records which student it was."""

import copy
import hashlib

import pytest
import torch
from artifact_samples import CLASSES, compiled, picture, student
from tiny_runs import RECIPE, epochs, run, weld_train, write_recipe
from trainer_samples import class_folders

from trainer.artifact.student import Student
from trainer.errors import RecipeError, RunError, UsageError
from trainer.network import initial_weights
from trainer.network.architectures import build
from trainer.network.weldnet import WeldNetConfig
from trainer.pipeline import Stage
from trainer.recipe import Network, Recipe
from trainer.recipe_file import load
from trainer.synthetic.frames import CLASSES as WELD_POOLS

SHAPE = WeldNetConfig(classes=3, stem=8, plan=((1, 1), (2, 2)), height=72, width=64)


def _saved(path, seed=0, config=SHAPE):
    network = student(config, seed)
    golden = [torch.from_numpy(picture(0))]
    Student(network, CLASSES, golden, {}, Recipe(**RECIPE).resolved(), None).save(path)
    return network


def _network(path, **changes):
    return RECIPE["network"] | {"start": str(path)} | changes


def test_all_layers_but_the_last_are_the_students(tmp_path):
    """A network for other classes takes the student's weights and statistics, and keeps its last layer."""
    student = _saved(tmp_path / "student.pt")
    recipe = Network(**_network(tmp_path / "student.pt"))
    fresh = build(recipe, classes=5)
    own_head = fresh.head.weight.detach().clone()
    initial_weights.read(recipe).load_into(fresh)
    there, here = student.state_dict(), fresh.state_dict()
    body = [name for name in there if not name.startswith("head.")]
    assert len(body) == len(there) - 2
    assert all(torch.equal(there[name], here[name]) for name in body)
    assert torch.equal(fresh.head.weight, own_head)


@pytest.mark.parametrize("architecture", ["weldnet", "resnet18"])
def test_auto_is_the_shipped_student_where_it_fits(architecture):
    """``best`` starts WeldNets of the paper's plan from it; others start at random."""
    recipe = load("best", [f"network.architecture={architecture}"]).network
    start = initial_weights.read(recipe)
    fits = architecture == "weldnet"
    assert (start.sha256 is not None) == fits
    fresh = build(recipe.model_copy(update={"height": 64, "width": 64}), classes=3)
    before = copy.deepcopy(fresh.state_dict())
    start.load_into(fresh)
    changed = [name for name, value in fresh.state_dict().items() if not torch.equal(value, before[name])]
    assert ("stem.0.weight" in changed) == fits
    other_shape, random = recipe.model_copy(update={"stem": 16}), initial_weights.InitialWeights()
    assert initial_weights.read(other_shape) == random


def test_the_shipped_weights_can_go_on_learning():
    """The shipped student is complete, holds nobody's figures, and no convolution is too large to be moved.

    A step of SGD turns the weights before a batch norm by an angle that falls with their squared norm. With
    norms of up to 80 the recipes' learning rates hardly changed them.
    """
    shipped = Student.load(initial_weights.SHIPPED_STUDENT)
    assert {c.name for c in shipped.classes} == set(WELD_POOLS)
    assert (shipped.recipe["name"], shipped.metrics) == ("best", {})
    norms = [
        module.weight.float().norm()
        for module in shipped.network.modules()
        if isinstance(module, torch.nn.Conv2d)
    ]
    assert 1 < min(norms) < max(norms) < 15


def test_a_run_records_the_student_it_starts_from(tmp_path):
    """Networks end with other weights than from a random start, and the run records the student's hash."""
    _saved(tmp_path / "student.pt")
    data = class_folders(tmp_path / "data")
    short = epochs(1)
    random = run(data, tmp_path / "random", **short)
    started = run(data, tmp_path / "out", network=_network(tmp_path / "student.pt"), **short)
    assert random["start"] is None
    assert started["start"] == hashlib.sha256((tmp_path / "student.pt").read_bytes()).hexdigest()
    files = [tmp_path / out / "student.pt" for out in ("random", "out")]
    weights = [torch.load(file, weights_only=True)["weights"] for file in files]
    assert not torch.equal(weights[0]["stem.0.weight"], weights[1]["stem.0.weight"])


def test_a_replaced_student_is_refused(tmp_path):
    """A run does not continue after its student was replaced, because its networks would differ."""
    path, data = tmp_path / "student.pt", class_folders(tmp_path / "data")
    changes = {"network": _network(path), "training": RECIPE["training"] | {"epochs": 1}}
    _saved(path)
    run(data, tmp_path / "out", Stage.TEACHERS, **changes)
    run(data, tmp_path / "out", Stage.TEACHERS, **changes)
    _saved(path, seed=1)
    with pytest.raises(RunError, match="the student that networks start from has changed since"):
        run(data, tmp_path / "out", Stage.TEACHERS, **changes)


def test_a_student_that_does_not_fit_is_refused(tmp_path):
    """A missing student, another shape or another architecture is refused before a folder is made."""
    data = class_folders(tmp_path / "data")
    with pytest.raises(UsageError, match="no such file; a run writes it"):
        run(data, tmp_path / "out", network=_network(tmp_path / "none.pt"))
    _saved(tmp_path / "student.pt", config=WeldNetConfig(classes=3, stem=4, plan=((1, 1), (2, 2))))
    with pytest.raises(RecipeError, match=r"its stem and plan are \(4, .* the recipe's \(8, "):
        run(data, tmp_path / "out", network=_network(tmp_path / "student.pt"))
    with pytest.raises(ValueError, match="which is a weldnet, not resnet18"):
        Network(start="student.pt", architecture="resnet18")
    assert not (tmp_path / "out").exists()


def test_classes_that_the_student_knows_keep_their_logits(tmp_path):
    """A class of the same name keeps the student's weights and bias, in any order; a new one is random."""
    student = _saved(tmp_path / "student.pt")
    recipe = Network(**_network(tmp_path / "student.pt"))
    fresh = build(recipe, classes=3)
    own = fresh.head.weight.detach().clone()
    initial_weights.read(recipe, ["crack", CLASSES[2].name, CLASSES[0].name]).load_into(fresh)
    assert torch.equal(fresh.head.weight[0], own[0])
    assert torch.equal(fresh.head.weight[1:], student.head.weight[[2, 0]])
    assert torch.equal(fresh.head.bias[1:], student.head.bias[[2, 0]])


def test_an_fp32_artifact_is_a_start_and_an_int8_one_names_the_student(tmp_path):
    """An fp32 artifact gives its student's weights; an int8 one has none, and one line names the student."""
    network = student(SHAPE)
    metrics = {"n": 3, "split_fingerprint": "ab" * 32, "training_frames": ["0" * 16]}
    compiled(tmp_path / "fp32.pt", network, scheme="none", metrics=metrics, temperature=2.0)
    recipe = Network(**_network(tmp_path / "fp32.pt"))
    start = initial_weights.read(recipe, [CLASSES[1].name])
    there = {name: value for name, value in network.state_dict().items() if not name.startswith("head.")}
    assert start.layers.keys() == there.keys()
    assert all(torch.equal(start.layers[name], value) for name, value in there.items())
    assert torch.allclose(start.logits[0][0], network.head.weight[1])
    assert start.learnt == ("0" * 16,)

    compiled(tmp_path / "int8.pt", network, metrics=metrics)
    int8 = Network(**_network(tmp_path / "int8.pt"))
    with pytest.raises(
        UsageError, match=r"int8.pt: an int8 artifact has no weights .* abababababab… in run.json"
    ):
        initial_weights.read(int8)
    golden = [torch.from_numpy(picture(0))]
    Student(network, CLASSES, golden, metrics, Recipe(**RECIPE).resolved(), None).save(
        tmp_path / "student.pt"
    )
    with pytest.raises(UsageError, match=rf"give its student, {tmp_path}/student.pt"):
        initial_weights.read(int8)


def test_an_artifact_records_what_its_start_learnt_from(tmp_path):
    """--start names the student on the command line, and its training frames count as learnt."""
    data = class_folders(tmp_path / "data")
    recipe = write_recipe(tmp_path / "tiny.yaml", **epochs(1), ensemble={"teachers": 1})
    assert weld_train("run", recipe, "--data", data, "--out", tmp_path / "first")[0] == 0
    start, others = tmp_path / "first" / "student.pt", class_folders(tmp_path / "others", seed=500)
    arguments = ["--data", others, "--out", tmp_path / "second", "--start", start]
    status, _, stderr = weld_train("distil", recipe, *arguments)
    assert status == 0, stderr
    assert f"networks start from {start}, with 2 of its 2 classes" in stderr
    frames = [
        set(Student.load(tmp_path / run / "student.pt").metrics["training_frames"])
        for run in ("first", "second")
    ]
    assert frames[0] < frames[1]
    assert len(frames[1]) == 2 * len(frames[0])
