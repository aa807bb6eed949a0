"""The random split of a new run, and the split that an older run has recorded.

Versions up to November 2026 divided near-duplicates. So a run of such a version, and a sweep of which it is a
part, keep their split. Frames need not be compared again, either.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from trainer.data.datasets import Frame
from trainer.data.near_duplicates import first_alike
from trainer.errors import RecipeError, RunError
from trainer.recipe import Recipe
from trainer.run.folder import IDENTITY_FILE, SPLIT_FILE, read_recipe, read_split
from trainer.run.progress import Progress


def with_recorded_parts(
    frames: Sequence[Frame], classes: Sequence[str], recipe: Recipe, runs: Iterable[Path]
) -> list[Frame] | None:
    """Return the frames with the parts of the first run that has these frames and splits by the same keys.

    None: there is no such run. Bytes are not compared here; the split's fingerprint has them.

    Args:
        frames: of the data, with the parts that the data gives.
        classes: their names, in label order.
        recipe: of the new run.
        runs: run folders, which need not exist.
    """
    names = sorted((frame.name, classes[frame.label], frame.run or "") for frame in frames)
    wanted = _keys_of_the_split(recipe)
    for run in runs:
        if not (run / IDENTITY_FILE).exists() or not (run / SPLIT_FILE).exists():
            continue
        try:
            theirs, rows = read_recipe(run), read_split(run)
            parts = {row["path"]: row["part"] for row in rows}
            alike = {row["path"]: row.get("alike") or None for row in rows}  # older runs have no such column
            there = sorted((row["path"], row["label"], row["run"]) for row in rows)
        except (RunError, RecipeError, OSError, ValueError, KeyError):
            continue  # the run's own checks name what is damaged
        if _keys_of_the_split(theirs) == wanted and there == names:
            return [replace(f, part=parts[f.name], alike=alike[f.name]) for f in frames]
    return None


def near_duplicates(frames: Sequence[Frame], recipe: Recipe, progress: Progress | None) -> dict[str, str]:
    """Return for each frame's name the name of its first near-duplicate; frames are decoded for this."""
    if not frames:
        return {}
    if progress is None:
        return first_alike(frames, bit_depth=recipe.data.bit_depth)
    with progress:
        progress.begin("comparing frames", len(frames))
        return first_alike(frames, bit_depth=recipe.data.bit_depth, advance=progress.advance)


def _keys_of_the_split(recipe: Recipe) -> list[object]:
    return [recipe.data, recipe.classes, recipe.network.start]
