"""Finished runs, grouped as the rows of the paper's tables."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from trainer.evaluation.metrics import ModelMetrics, balanced_accuracy
from trainer.network import lite0
from trainer.run.folder import RESULTS_FILE
from trainer.sweep import finished

Metric = Literal["accuracy", "macro_f1", "balanced_accuracy", "cross_entropy"]

SINGLE = "single"  # every teacher of every run, as one model


def _is_single(model: str) -> bool:
    """Whether a model is a teacher of the run's architecture."""
    return model.startswith("teacher-") and model != lite0.TEACHER


@dataclass(frozen=True)
class RunGroup:
    """Runs that differ only in their seed: one row of a table, one point of a figure."""

    name: str
    folder: Path  # of the first run
    architecture: str
    parameters: int  # of one network
    held_out_frames: int
    artifact: str | None  # name of the first run's file in its folder
    models: list[dict[str, ModelMetrics]]  # of each run
    verdicts: list[str]  # of each run, in words; runs of earlier versions have none

    @property
    def teachers(self) -> int:
        """Number of teachers of the run's architecture per run."""
        return sum(map(_is_single, self.models[0]))

    @property
    def classes(self) -> int:
        """Number of classes of the data."""
        return len(self.models[0]["mean"]["per_class"])

    def values(self, model: str, metric: Metric = "accuracy") -> list[float]:
        """The metric of a model in each run; runs of earlier versions may lack the cross entropy."""
        return [
            balanced_accuracy(metrics["per_class"]) if metric == "balanced_accuracy" else metrics[metric]
            for models in self.models
            for name, metrics in models.items()
            if name == model or (model == SINGLE and _is_single(name))
            if metric in metrics or metric == "balanced_accuracy"
        ]


def read_groups(folder: Path) -> list[RunGroup]:
    """Read a run folder, or each run folder in it; names that differ only in ``-seed<k>`` are one group.

    Raises:
        RecipeError: there is no finished run.
    """
    runs = finished(folder)
    names: dict[str, list[str]] = {}
    for run in runs:
        names.setdefault(re.sub(r"-seed\d+$", "", run), []).append(run)
    is_run = (folder / RESULTS_FILE).is_file()
    return [
        _group(group, folder if is_run else folder / members[0], [runs[run] for run in members])
        for group, members in names.items()
    ]


def _group(name: str, folder: Path, results: list[dict[str, Any]]) -> RunGroup:
    first = results[0]
    return RunGroup(
        name=name,
        folder=folder,
        architecture=first["architecture"],
        parameters=first["parameters"],
        held_out_frames=first["n"],
        artifact=first["artifact"]["file"] if "artifact" in first else None,
        models=[result["models"] for result in results],
        verdicts=[result["training_verdict"] for result in results if "training_verdict" in result],
    )
