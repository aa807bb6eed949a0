"""Sweeps: a recipe, one change of it at a time, and several seeds. Finished runs are skipped."""

from __future__ import annotations

import hashlib
import logging
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from trainer import pipeline
from trainer.data import splits
from trainer.data.joining import DataSets
from trainer.errors import RecipeError, TrainingError
from trainer.learning.processes import Hardware
from trainer.recipe import Recipe
from trainer.recipe_file import load
from trainer.run.folder import (
    RESULTS_FILE,
    is_finished,
    read_results,
    require_same_recipe,
    require_same_split,
)
from trainer.run.progress import Progress

log = logging.getLogger(__name__)

_MAX_NAME_BYTES = 100  # of a change; file systems take 255 for a folder's name, with its seed

UNCHANGED_RECIPE = "recipe"  # name of the runs without a change


def sweep(
    recipe: str,
    data: Path | DataSets,
    out: Path,
    progress: Progress,
    *,
    overrides: Sequence[str] = (),
    vary: Sequence[str] = (),
    seeds: Sequence[int] = (0, 1, 2),
    hardware: Hardware | None = None,
) -> dict[str, Any]:
    """Run the recipe unchanged and with each change, once per seed, in folders of ``out``.

    If a change concerns nothing that teachers learn, its runs use the teachers of the unchanged recipe.
    The function is long by its description of the arguments; its code fits a screen.

    Args:
        recipe: name or file.
        data: any form of ``--data``.
        out: gets one run folder ``<change>-seed<seed>`` per run; without a change, ``recipe-seed<seed>``.
        progress: shown while runs train.
        overrides: ``a.b=c``, for every run.
        vary: ``a.b=[c, d]`` is two changes, one for c and one for d; changes are not combined.
        seeds: each change is run once with each seed.
        hardware: the processes that learn; None: one, on one device.

    Returns:
        ``done``: names of the finished runs; ``failed``: names of the other runs, with their errors.

    Raises:
        RecipeError: a change does not fit the recipe; no run has started.
        RunError: a folder holds a finished run of another recipe, or of other data.
        DataError: the data is gone.
        KeyboardInterrupt: the user stopped the sweep; the same call resumes it.
    """
    changes = {UNCHANGED_RECIPE: [], **_changes(vary)}
    planned: dict[str, Recipe] = {}
    for seed in seeds:  # first, so that a sweep that is stopped has compared all changes on one seed
        for name, change in changes.items():
            resolved = load(recipe, [*overrides, *change, f"seed={seed}"])
            planned[f"{name}-seed{resolved.seed}"] = resolved
    DataSets.of(data).require()
    finished_before = {name for name in planned if is_finished(out / name)}
    _check_finished({out / name: planned[name] for name in finished_before}, data)
    done: list[str] = []
    failed: dict[str, str] = {}
    for name, resolved in planned.items():
        if name not in finished_before:
            log.info("run %s (%d of %d)", name, len(done) + len(failed) + 1, len(planned))
            unchanged = f"{UNCHANGED_RECIPE}-seed{resolved.seed}"
            try:
                pipeline.run(
                    resolved,
                    data,
                    out / name,
                    progress,
                    teachers_from=out / unchanged if unchanged in done else None,
                    split_from=[out / each for each in planned],
                    hardware=hardware,
                )
            except TrainingError as error:
                log.warning("%s: %s", name, error)
                failed[name] = str(error)
                continue
        done.append(name)
    return {"out": str(out), "done": done, "failed": failed}


def _check_finished(runs: Mapping[Path, Recipe], data: Path | DataSets) -> None:
    """Check that finished runs are of these recipes and of this data."""
    splits_of: dict[str, tuple[str, str]] = {}  # by the keys that decide a split
    for run, recipe in runs.items():
        require_same_recipe(run, recipe)
        key = f"{recipe.data} {recipe.classes}"
        if key not in splits_of:
            listing = pipeline.list_frames(recipe, data, split_from=[*runs])
            splits_of[key] = (
                splits.fingerprint(listing.frames, listing.classes),
                splits.fingerprint_of_names(listing.frames, listing.classes),
            )
        require_same_split(run, *splits_of[key])


def finished(run: Path) -> dict[str, dict[str, Any]]:
    """Read the results of a run folder, or of each run folder in it, by name.

    Raises:
        RecipeError: there are no results.
        RunError: a file of results is damaged.
    """
    found = [run / RESULTS_FILE] if (run / RESULTS_FILE).is_file() else sorted(run.glob(f"*/{RESULTS_FILE}"))
    found.sort(key=lambda path: not path.parent.name.startswith(f"{UNCHANGED_RECIPE}-"))
    if not found:
        raise RecipeError(f"{run}: holds no finished run (no {RESULTS_FILE}); make one with weld-train run")
    return {path.parent.name: read_results(path.parent) for path in found}


def _changes(vary: Sequence[str]) -> dict[str, list[str]]:
    """Return the name and the override of each change.

    A name has the last word of its key, or the whole key if two keys end alike.
    """
    changes: dict[str, list[str]] = {}
    keys = {line.partition("=")[0] for line in vary}
    last_words = Counter(key.rpartition(".")[2] for key in keys)
    for line in vary:
        key, _, text = line.partition("=")
        try:
            values = yaml.safe_load(text)
        except yaml.YAMLError:
            values = None
        if key.strip() == "seed":
            raise RecipeError(f"--vary {line}: give seeds as --seeds 0,1,2")
        if not key or not isinstance(values, list) or not values:
            raise RecipeError(
                f"--vary {line}: write it as key=[value, value], for instance training.mixup=[0, 0.4]"
            )
        for value in values:
            value_text = yaml.safe_dump(value, default_flow_style=True).removesuffix("\n...\n").strip()
            last_word = key.rpartition(".")[2]
            word = last_word if last_words[last_word] == 1 else key
            name = re.sub(r"[^\w.]+", "-", f"{word}-{value_text}").strip("-")
            if len(name.encode()) > _MAX_NAME_BYTES:
                name = f"{word}-{hashlib.sha256(value_text.encode()).hexdigest()[:12]}"
            if changes.setdefault(name, [f"{key}={value_text}"]) != [f"{key}={value_text}"]:
                raise RecipeError(f"--vary {line}: two changes would write the folder {name}; run them apart")
    return changes
