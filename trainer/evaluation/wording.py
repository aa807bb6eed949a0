"""A run's results in words for people: its networks, its verdict, its files, the next command.

The terminal and the page of a run say the same. ``results.json`` has the short names.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from inspector.network.metadata import TrainingVerdict
from trainer.network import lite0

MEANING = {
    TrainingVerdict.READY: "a station can use this network",
    TrainingVerdict.USABLE_WITH_REVIEW: "a station can use this network while people check its verdicts",
    TrainingVerdict.DO_NOT_DEPLOY: "a station refuses this network",
}
NETWORKS = {  # the name of a row, and a sentence about it
    lite0.TEACHER: ("pretrained teacher", "Knew photographs, then learnt the labels."),
    "mean": ("teachers, mean", "The mean of the teachers' probabilities."),
    "focal": ("teachers, focal ensemble", "Their combined answer, in which a sure teacher counts more."),
    "ridge": ("linear model, pixels", "A ridge regression on 40×24 pixels. A network has to be better."),
    "probe": (
        "linear model, features",
        "A logistic regression on the features of a network for photographs.",
    ),
    "student": ("student", "One network that learnt the ensemble's answers, with 32-bit floats."),
    "artifact": ("artifact", "The student as a station runs it."),
}
FILES = {  # in the order in which people need them
    "report.html": "these results as one page, to send to a colleague",
    "weldnet.pt": "the artifact: the network for a station",
    "student.pt": "the same network for weld-train: compile another scheme, or start from it",
    "results.json": "every figure",
    "curves.png": "loss and accuracy by epoch",
    "confusion.png": "which class is taken for which",
    "reliability.png": "accuracy against confidence",
    "mistakes.png": "the wrong answers of highest confidence",
    "thresholds.png": "the effect of each PASS threshold",
    "split.csv": "class, run and part of every frame",
    "recipe.yaml": "every setting of the training",
    "run.json": "seeds, versions and processor",
}


def network_name(key: str) -> str:
    """Return the name of a row of ``models`` in words; ``teacher-2`` is ``teacher 2``."""
    return NETWORKS[key][0] if key in NETWORKS else key.replace("-", " ")


def network_meaning(key: str) -> str:
    """Return a sentence about a row of ``models``."""
    return NETWORKS[key][1] if key in NETWORKS else "Learnt the labels."


def level_of(results: Mapping[str, Any]) -> TrainingVerdict | None:
    """Return the level of a run's verdict; None if an older version wrote the results without one."""
    words = str(results.get("training_verdict", ""))
    return next((level for level in TrainingVerdict if words.startswith(level)), None)


def files(folder: Path) -> dict[str, str]:
    """Return the files of a run folder that people open, each with its content."""
    return {name: content for name, content in FILES.items() if (folder / name).exists()}


def next_commands(results: Mapping[str, Any], folder: Path) -> dict[str, str]:
    """Return the commands that follow from a run's verdict, each with its purpose."""
    if "artifact" not in results:
        return {_command("weld-train", "table", "--run", folder): "compare it with other runs"}
    artifact = folder / results["artifact"]["file"]
    if level_of(results) is TrainingVerdict.DO_NOT_DEPLOY:
        sets = [results["data"]] if isinstance(results["data"], str) else results["data"]
        options = [word for each in sets for word in ("--data", each)]
        return {_command("weld-train", "suspects", *options, "--out", "suspects"): "look for wrong labels"}
    return {
        _command(
            "weld-inspect", "predict", artifact, "PICTURES", "--heat", "pictures"
        ): "judge some pictures",
        _command("weld-inspect", "init", "station", "--artifact", artifact): "make a station with it",
        _command(
            "weld-inspect", "install-artifact", artifact, "--config", "station/config.yaml"
        ): "or put it into the station that you have",
    }


def _command(*words: object) -> str:
    return shlex.join(map(str, words))
