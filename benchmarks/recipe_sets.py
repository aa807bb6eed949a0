"""Data sets for ``recipes.py``: honest splits of each set, as label tables ``train`` and ``valid``.

A run (a sub-folder, or the table's column) is never divided, and no near-duplicate or augmented copy of a
held-out frame is learnt. A set with its own parts keeps them, and is judged in both directions.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sklearn.model_selection import StratifiedGroupKFold

from trainer.data import datasets, near_duplicates
from trainer.data.datasets import Frame

FOLDS = 5  # a fifth is held out, as in the paper (section 2.1)
SEED = 0  # of the folds; runs of several seeds share them
ACCEPTED = ("good", "good_weld", "ok", "ok_front", "0")  # names of accept classes; SS304 numbers its classes


@dataclass(frozen=True)
class Split:
    """One honest split of one set, written as label tables."""

    set_name: str
    name: str  # of its folder
    folder: Path
    accept: tuple[str, ...]
    n_train: Mapping[str, int]  # training frames by class
    n_valid: int
    copies: int  # frames that are near-duplicates of another one


def find_sets(data: Path, only: Sequence[str] = ()) -> list[Path]:
    """Return the folders of the sets, sorted by name; ``only`` keeps those with these names."""
    found = [path for path in sorted(data.iterdir()) if path.is_dir() and not path.name.startswith(".")]
    unknown = sorted(set(only) - {path.name for path in found})
    if unknown:
        raise SystemExit(f"{data}: holds no set {', '.join(unknown)}; it holds {[p.name for p in found]}")
    return [path for path in found if not only or path.name in only]


def prepare(data: Path, out: Path, *, all_folds: bool) -> list[Split]:
    """Split one set, write its tables below ``out`` and return the splits.

    Args:
        data: the set, in any form of ``--data``.
        out: gets a folder per split.
        all_folds: whether each fifth is held out once, instead of the first only.
    """
    listing = datasets.read(data)
    frames = listing.frames
    copies = near_duplicates.groups([frame.path for frame in frames])
    accept = tuple(name for name in listing.classes if name in ACCEPTED)
    splits = []
    for name, train, valid in _divisions(data.name, frames, copies, all_folds=all_folds):
        folder = out / name
        for part, rows in (("train", train), ("valid", valid)):
            _write(folder / part, [frames[row] for row in rows], listing.classes)
        n_train = Counter(listing.classes[frames[row].label] for row in train)
        splits.append(Split(data.name, name, folder, accept, n_train, len(valid), _shared(copies)))
    return splits


def _divisions(
    name: str, frames: Sequence[Frame], copies: Sequence[int], *, all_folds: bool
) -> Iterator[tuple[str, list[int], list[int]]]:
    """Yield each split's name and the rows of its two parts.

    A frame without a run is in a group with its near-duplicates. If runs are known, near-duplicates in other
    runs are left out of the training part.
    """
    own = {
        part: [row for row, frame in enumerate(frames) if frame.part == part] for part in ("train", "valid")
    }
    if own["train"] and own["valid"]:
        yield name, own["train"], own["valid"]
        yield f"{name}-exchanged", own["valid"], own["train"]
        return
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=SEED)
    groups = [frame.run or f"{copy}" for frame, copy in zip(frames, copies, strict=True)]
    labels = [frame.label for frame in frames]
    for number, (train, valid) in enumerate(folds.split(frames, labels, groups), start=1):
        held = {copies[row] for row in valid}
        yield f"{name}-fold{number}", [row for row in train if copies[row] not in held], list(valid)
        if not all_folds:
            return


def _shared(copies: Sequence[int]) -> int:
    """Return how many frames are near-duplicates of another one."""
    return sum(count for count in Counter(copies).values() if count > 1)


def _write(folder: Path, frames: Sequence[Frame], classes: Sequence[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    rows = sorted((classes[frame.label], str(frame.path.resolve()), frame.run or "") for frame in frames)
    with (folder / "frames.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["path", "label", "run"])
        writer.writerows([path, label, run] for label, path, run in rows)
