"""Recipe files: YAML and ``--set`` make one :class:`~trainer.recipe.Recipe`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from trainer.errors import RecipeError, did_you_mean
from trainer.recipe import Recipe

RECIPES_FOLDER = Path(__file__).parent / "recipes"


def shipped() -> list[str]:
    """Return the names of the recipes that come with the program."""
    return sorted(path.stem for path in RECIPES_FOLDER.glob("*.yaml"))


def load(recipe: str, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe by its shipped name or its path, and apply ``a.b=c`` overrides.

    Raises:
        RecipeError: the file or a key is wrong; the message names the first mistake and how to fix it.
    """
    values = _read(recipe)
    for override in overrides:
        _apply(values, override)
    return Recipe.from_values(values, f"recipe {recipe}")


def _read(recipe: str) -> dict[str, Any]:
    path = Path(recipe)
    if recipe in shipped():
        path = RECIPES_FOLDER / f"{recipe}.yaml"
    elif not path.is_file():
        raise RecipeError(
            f"recipe '{recipe}': neither a file nor one of {', '.join(shipped())}"
            f"{did_you_mean(recipe, shipped())}"
        )
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecipeError(f"{path}: cannot read the recipe: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise RecipeError(f"{path}: holds no 'key: value' lines; start from a shipped recipe")
    return {str(key): value for key, value in values.items()}


def _apply(values: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key.strip():
        raise RecipeError(f"--set {override}: write it as key=value, for instance training.epochs=5")
    *groups, last = key.strip().split(".")
    group_values = values
    for group in groups:
        group_values = group_values.setdefault(group, {})
        if not isinstance(group_values, dict):
            raise RecipeError(f"--set {override}: '{group}' has no keys of its own")
    try:
        group_values[last] = yaml.safe_load(text)
    except yaml.YAMLError:
        raise RecipeError(f"--set {override}: the value is not YAML") from None
