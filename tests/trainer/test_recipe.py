"""Recipes: the printed values, and the classes of the shipped recipes."""

from __future__ import annotations

import pytest

from trainer.errors import RecipeError
from trainer.recipe import Recipe
from trainer.recipe_file import load
from trainer.synthetic import frames


def test_al5083_is_the_printed_recipe_and_so_are_the_defaults() -> None:
    """The recipe al5083 and the defaults have the numbers of section 3."""
    recipe = load("al5083")
    assert (recipe.network.height, recipe.network.width) == (487, 400)
    assert recipe.augmentation.crop == (0.75, 0.75)
    assert recipe.augmentation.rotation == 30
    training = recipe.training
    assert (training.epochs, training.learning_rate, training.momentum) == (25, 0.01, 0.9)
    assert (training.schedule, training.milestones, training.gamma) == ("step", [15], 0.1)
    assert (recipe.ensemble.teachers, recipe.ensemble.kind, recipe.ensemble.k) == (5, "focal", 2)
    assert recipe.distillation.epochs == 25
    assert [c.name for c in recipe.classes if c.role == "accept"] == ["good_weld"]
    by_default = Recipe(name="al5083", about=recipe.about, classes=recipe.classes)
    assert recipe.resolved() | {"augmentation": None} == by_default.resolved() | {"augmentation": None}


@pytest.mark.parametrize("name", ["al5083", "ss304", "xsdd"])
def test_printed_recipes_rotate_as_the_authors_code_does(name: str) -> None:
    """The paper leaves open how often frames turn and what fills the corners: half of them, by reflection."""
    augmentation = load(name).augmentation
    assert (augmentation.rotation_share, augmentation.fill) == (0.5, "reflect")
    printed = augmentation.model_copy(update={"rotation_share": 1.0, "fill": "black"})
    assert printed == Recipe(name="defaults").augmentation


def test_the_synthetic_recipe_has_the_synthetic_classes() -> None:
    """The recipe and the generator of synthetic frames have the same classes in the same order."""
    assert [c.name for c in load("synthetic").classes] == list(frames.CLASSES)


def test_a_defects_only_data_set_accepts_nothing() -> None:
    """X-SDD has only defects, so no class of its recipe is an accept class."""
    assert {c.role for c in load("xsdd").classes} == {"defect"}


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("training.average_epochs=.inf", "'training.average_epochs' Input should be a finite number"),
        ("training.learning_rate=.nan", "'training.learning_rate' Input should be a finite number"),
        ("ensemble.k=1e999", "'ensemble.k' Input should be a finite number"),
        ("network.plan=[]", "'network.plan' List should have at least 1 item"),
        ("network.plan=[[1, 3]]", "'network.plan.0.1' Input should be 1 or 2"),
        ("network.plan=[[0, 1]]", "'network.plan.0.0' Input should be greater than or equal to 1"),
        ("network.plan=[[yes, 1]]", "'network.plan' cannot be yes or no"),
        ("network.stem=yes", "'network.stem' cannot be yes or no"),
        ("network.stem=100000", "end with 1600000 channels; at most 8192 are allowed"),
        ("network={stem: 8000, plan: [[1, 1]]}", "weights per network; at most 200,000,000 are allowed"),
        (
            "network.plan=[[2, 1], [2, 1], [2, 1], [2, 1], [2, 1], [8, 1], [1, 1]]",
            "weights per network; at most",
        ),
        ("network.height=1000000", "'network.height' Input should be less than or equal to 16384"),
        ("network.width=-400", "'network.width' Input should be greater than or equal to 64"),
        ("training.average_epochs=1e300", "'training.average_epochs' Input should be less than"),
        ("training.average_epochs=-1", "'training.average_epochs' Input should be greater than"),
        ("training.epochs=1000000000", "'training.epochs' Input should be less than or equal to 100000"),
        (
            "training.min_steps=1000000000000",
            "'training.min_steps' Input should be less than or equal to 10000000",
        ),
        ("training.batch_size=1", "'training.batch_size' Input should be greater than or equal to 2"),
        ("training.batch_size=2.5", "'training.batch_size' Input should be a valid integer"),
        (
            "training.learning_rate=1e+39",
            "'training.learning_rate' Input should be less than",
        ),
        ("training.weight_decay=1e+39", "'training.weight_decay' Input should be less than"),
        ("training.momentum=0", "'training' nesterov needs a momentum above 0"),
        ("training.learning_rate=fast", "'training.learning_rate' Input should be a valid number"),
        ("training.milestones=15", "'training.milestones' Input should be a valid list"),
        ("training.milestones=[0]", "'training.milestones.0' Input should be greater than or equal to 1"),
        ("training.mixup=[]", "'training.mixup' Input should be a valid number"),
        ("training.mixup=-0.1", "'training.mixup' Input should be greater than or equal to 0"),
        ("training.mixup=1e-9", "'training.mixup' must be 0 or at least 0.001"),
        ("distillation.mixup=1e-9", "'distillation.mixup' must be 0 or at least 0.001"),
        ("distillation.epochs=-1", "'distillation.epochs' Input should be greater than or equal to 0"),
        ("distillation.confidence=80%", "'distillation.confidence' Input should be a valid number"),
        ("ensemble.teachers=0", "'ensemble.teachers' Input should be greater than or equal to 1"),
        ("ensemble.teachers=5000", "'ensemble.teachers' Input should be less than or equal to 100"),
        ("ensemble.k=0", "'ensemble.k' Input should be greater than or equal to 0.1"),
        ("ensemble.k=1e6", "'ensemble.k' Input should be less than or equal to 1000"),
        ("ensemble=null", "'ensemble' Input should be a valid dictionary"),
        ("augmentation.crop=[]", "'augmentation.crop"),
        ("augmentation.crop=[.nan, 1]", "'augmentation.crop.0' Input should be a finite number"),
        ("augmentation.crop=0.8", "'augmentation.crop' Input should be a valid"),
        ("augmentation.fill=white", "'augmentation.fill' Input should be 'black' or 'reflect'"),
        ("augmentation.rotation_share=1.5", "'augmentation.rotation_share' Input should be less than"),
        ("augmentation.rotation=360", "'augmentation.rotation' Input should be less than or equal to 180"),
        ("data.validation=20", "'data.validation' Input should be less than 1"),
        ("data.shared_runs=r1", "'data.shared_runs' Input should be a valid list"),
        ("data.bit_depth=12.5", "'data.bit_depth' Input should be a valid integer"),
        ("thresholds.escape=0", "'thresholds.escape' Input should be greater than 0"),
        ("accept=good", "'accept' Input should be a valid list"),
        ("seed=-1", "'seed' Input should be greater than or equal to 0"),
        ("training.epochs=on", "'training.epochs' cannot be yes or no"),
        ("augmentation.crop=[true, 1]", "'augmentation.crop' cannot be yes or no"),
        ("seed=false", "'seed' cannot be yes or no"),
        ("classes=[{name: a, role: accept}, {name: b, role: accept}]", "every class has the role accept"),
    ],
)
def test_values_that_no_training_can_use_are_refused_by_key(override: str, words: str) -> None:
    """A value that would end in a traceback after minutes is refused by its key before anything is read."""
    with pytest.raises(RecipeError) as caught:
        load("best", [override])
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_yes_is_a_value_where_yes_is_meant() -> None:
    """The one key that is yes or no takes it."""
    assert load("al5083", ["training.nesterov=yes"]).training.nesterov is True
