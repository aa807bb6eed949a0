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
    assert recipe == Recipe(name="al5083", about=recipe.about, classes=recipe.classes)


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
