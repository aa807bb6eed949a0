"""Many runs by one command: a recipe, changes of it one at a time, and seeds; what is done is skipped."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from trainer import pipeline
from trainer.errors import RecipeError, TrainingError
from trainer.learning.processes import Hardware
from trainer.recipe_file import load
from trainer.run.folder import RESULTS_FILE
from trainer.run.progress import Progress

log = logging.getLogger(__name__)

UNCHANGED_RECIPE = "recipe"  # what runs of the recipe as it is are called


def sweep(
    recipe: str,
    data: Path,
    out: Path,
    progress: Progress,
    *,
    overrides: Sequence[str] = (),
    vary: Sequence[str] = (),
    seeds: Sequence[str] = ("0", "1", "2"),
    hardware: Hardware | None = None,
) -> dict[str, Any]:
    """Run the recipe as it is and with each change, for each seed, in folders of ``out``.

    A change that comes after the teachers takes those of the unchanged recipe, which its own would equal.

    Args:
        recipe: name or file.
        data: any form of ``--data``.
        out: holds a run folder ``<change>-seed<seed>`` each; the unchanged recipe's is ``recipe-seed<seed>``.
        progress: shown while runs train.
        overrides: of every run, ``a.b=c``.
        vary: ``a.b=[c, d]``: a change each for c and d; changes are not combined with each other.
        seeds: one run of each change for each.
        hardware: where networks learn; None: one device.

    Returns:
        ``done``, names of the finished runs; ``failed``, the others with what went wrong.

    Raises:
        RecipeError: a change does not fit, before anything is trained.
        KeyboardInterrupt: the same command goes on.
    """
    planned = {
        f"{name}-seed{seed}": load(recipe, [*overrides, *change, f"seed={seed}"])
        for seed in seeds  # so that a sweep that is stopped has compared all changes on its first seed
        for name, change in {UNCHANGED_RECIPE: [], **_changes(vary)}.items()
    }
    done: list[str] = []
    failed: dict[str, str] = {}
    for name, resolved in planned.items():
        if not (out / name / RESULTS_FILE).exists():
            log.info("run %s (%d of %d)", name, len(done) + len(failed) + 1, len(planned))
            unchanged = f"{UNCHANGED_RECIPE}-seed{resolved.seed}"
            try:
                pipeline.run(
                    resolved,
                    data,
                    out / name,
                    progress,
                    teachers_from=out / unchanged if unchanged in done else None,
                    hardware=hardware,
                )
            except TrainingError as error:
                log.warning("%s: %s", name, error)
                failed[name] = str(error)
                continue
        done.append(name)
    return {"out": str(out), "done": done, "failed": failed}


def finished(run: Path) -> dict[str, dict[str, Any]]:
    """Results of a run folder, or of each run folder in it, by name.

    Raises:
        RecipeError: there are none.
    """
    found = [run / RESULTS_FILE] if (run / RESULTS_FILE).is_file() else sorted(run.glob(f"*/{RESULTS_FILE}"))
    found.sort(key=lambda path: not path.parent.name.startswith(f"{UNCHANGED_RECIPE}-"))
    if not found:
        raise RecipeError(f"{run}: holds no finished run (no {RESULTS_FILE}); make one with weld-train run")
    return {path.parent.name: json.loads(path.read_text(encoding="utf-8")) for path in found}


def _changes(vary: Sequence[str]) -> dict[str, list[str]]:
    """Name and override of each change."""
    changes = {}
    for line in vary:
        key, _, text = line.partition("=")
        try:
            values = yaml.safe_load(text)
        except yaml.YAMLError:
            values = None
        if not key or not isinstance(values, list) or not values:
            raise RecipeError(
                f"--vary {line}: write it as key=[value, value], for instance training.mixup=[0, 0.4]"
            )
        for value in values:
            value_text = yaml.safe_dump(value, default_flow_style=True).removesuffix("\n...\n").strip()
            name = re.sub(r"[^\w.]+", "-", f"{key.rpartition('.')[2]}-{value_text}").strip("-")
            changes[name] = [f"{key}={value_text}"]
    return changes
