"""Whole runs of a tiny recipe, and the commands that start them."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from typer.testing import CliRunner

from trainer import pipeline
from trainer.commands.cli import app
from trainer.pipeline import Stage
from trainer.recipe import Recipe
from trainer.run.progress import Progress

RECIPE: dict[str, Any] = {
    "name": "tiny",
    "accept": ["good"],
    "network": {"height": 80, "width": 80, "grow": 16, "stem": 8, "plan": [(1, 1), (2, 2)]},
    "augmentation": {"crop": (0.8, 0.8), "rotation": 10},
    "training": {"epochs": 14, "batch_size": 4, "learning_rate": 0.05, "milestones": [10]},
    "distillation": {"epochs": 14},
    "ensemble": {"teachers": 2},
    "data": {"validation": 0.34},
}


def epochs(count: int) -> dict[str, Any]:
    """Changes of the tiny recipe with which teachers and student learn for so many epochs."""
    return {"training": RECIPE["training"] | {"epochs": count}, "distillation": {"epochs": count}}


def run(
    data: Path, out: Path, until: Stage = Stage.RESULTS, unlabelled: Path | None = None, **changes: Any
) -> dict[str, Any]:
    """Run the tiny recipe with changes, as the commands do."""
    progress = Progress(Console(file=io.StringIO()))
    recipe = Recipe(**RECIPE | changes)
    return pipeline.run(recipe, data, out, progress, until, unlabelled=unlabelled).as_json()


def write_recipe(path: Path, **changes: Any) -> Path:
    """Write the tiny recipe with changes, as a user's file."""
    path.write_text(yaml.safe_dump(Recipe(**RECIPE | changes).resolved()))
    return path


def read_csv(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV with a header."""
    return list(csv.DictReader(io.StringIO(path.read_text())))


def weld_train(*arguments: object) -> tuple[int, str, str]:
    """Exit status, stdout and stderr of a command, in this process."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


def only_json(stdout: str) -> dict[str, Any]:
    """The one JSON object that stdout must be."""
    value = json.loads(stdout)
    assert isinstance(value, dict)
    return value
