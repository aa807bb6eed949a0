"""Recipes: the printed values, and the classes of the shipped recipes."""

from __future__ import annotations

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
