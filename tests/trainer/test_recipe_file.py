"""Recipe files: the shipped ones, --set, and messages about mistakes."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from trainer.errors import RecipeError
from trainer.recipe import Recipe
from trainer.recipe_file import load, shipped


@pytest.mark.parametrize("name", shipped())
def test_shipped_recipes_load_and_survive_their_resolved_form(name: str) -> None:
    """Every shipped recipe is valid, has the name of its file, and is restored from its plain values."""
    recipe = load(name)
    assert recipe.name == name
    assert recipe.classes or name == "best"  # which takes the classes of any data
    assert Recipe(**yaml.safe_load(yaml.safe_dump(recipe.resolved()))) == recipe


def test_the_recipes_ship() -> None:
    """The recipes that the documents name are shipped."""
    assert {"al5083", "best", "ss304", "synthetic", "xsdd"} <= set(shipped())


def test_overrides_reach_any_key_and_are_yaml() -> None:
    """An override changes nested keys, lists and numbers, also in groups that the file does not have."""
    recipe = load(
        "xsdd", ["training.epochs=3", "augmentation.crop=[0.5, 1]", "seed=7", "artifact.scheme=none"]
    )
    assert recipe.training.epochs == 3
    assert recipe.augmentation.crop == (0.5, 1)
    assert recipe.seed == 7
    assert recipe.artifact.scheme == "none"


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("training.epoch=3", "no key 'training.epoch'; did you mean 'training.epochs'?"),
        ("trainning.epochs=3", "no key 'trainning'; did you mean 'training'?"),
        ("training.epochs=0", "'training.epochs' Input should be greater than or equal to 1"),
        ("training.epochs=many", "it is 'many'"),
        ("training.epochs", "write it as key=value"),
        ("=3", "write it as key=value"),
        ("seed.x=3", "'seed' has no keys of its own"),
        ("seed={", "the value is not YAML"),
        ("augmentation.crop=[0.9, 0.5]", "crop must run from a smaller share"),
        ("classes=[{name: a, role: defect}]", "two or more different names"),
        ("accept=[good_weld]", "accept is for classes named by folders"),
        ("artifact.scheme=dynamik", "(it is 'dynamik')"),
        ("network.height=10", "'network.height"),
        ("network.height=null", "give both network.height and network.width"),
        ("network.architecture=resnet", "'resnet18'"),
    ],
)
def test_mistakes_are_one_line_that_names_the_key(override: str, words: str) -> None:
    """Every wrong override is refused with the key, the reason and exit status 2."""
    with pytest.raises(RecipeError) as caught:
        load("ss304", [override])
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_status == 2


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name: [", "is not YAML"),
        ("just words", "holds no 'key: value' lines"),
        ("seed: 1", "'name' is missing"),
        ("name: a/b", "'name'"),
        (b"\xff\xfe\x00", "is not YAML"),
    ],
)
def test_broken_files_are_named(tmp_path: Path, text: str | bytes, words: str) -> None:
    """A recipe file that cannot be read is refused with its path."""
    path = tmp_path / "mine.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(RecipeError, match=words) as caught:
        load(str(path))
    assert str(path) in str(caught.value)


def test_unknown_recipes_are_answered_with_the_known_ones() -> None:
    """An unknown name is refused with the list of shipped recipes and a suggestion."""
    with pytest.raises(RecipeError, match=r"one of al5083, .*; did you mean 'ss304'\?"):
        load("ss305")


def test_own_files_are_recipes(tmp_path: Path) -> None:
    """The path of a YAML file works like a shipped name."""
    path = tmp_path / "mine.yaml"
    path.write_text("name: mine\naccept: [good]\n")
    assert load(str(path)).accept == ["good"]
