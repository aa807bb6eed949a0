"""Several ``--data`` joined into one listing: old frames, and frames that people have reviewed since.

Classes are joined by name. Each image is one frame, also if several sets hold it, in other formats too. If
its labels differ, it is a problem, or the later label is kept. An image or a welding run that two sets share
links their frames: the split never divides them.
"""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import count, pairwise
from pathlib import Path
from typing import Literal

from trainer.data import datasets, duplicates
from trainer.data.datasets import Frame, Listing
from trainer.errors import DataError, Problem

log = logging.getLogger(__name__)

OnConflict = Literal["refuse", "later"]
_BEFORE_ALL = datetime.min.replace(tzinfo=UTC)  # of a label without a time
TWO_LABELS = "one image under two labels"  # kind of problem
_STRENGTH = {None: 0, "train": 1, "valid": 2, "test": 3}  # a frame that is held out is never learnt from

Member = tuple[int, Frame]  # number of the set, and one of its frames


@dataclass(frozen=True)
class DataSets:
    """The values of ``--data``, and what happens to an image with two labels."""

    paths: tuple[Path, ...]
    on_conflict: OnConflict = "refuse"

    @classmethod
    def of(cls, data: Path | DataSets) -> DataSets:
        """Return one path as the only set."""
        return cls((data,)) if isinstance(data, Path) else data

    def __str__(self) -> str:
        """Name the sets in a message."""
        return ", ".join(map(str, self.paths))

    def require(self) -> None:
        """Check that each set is there.

        Raises:
            DataError: one is missing.
        """
        for path in self.paths:
            if not path.exists():
                raise DataError(path, [Problem("missing", "there is no such file or folder")])

    def resolved(self) -> str | list[str]:
        """Return the absolute path, or of several sets all of them, for the run folder."""
        paths = [str(path.resolve()) for path in self.paths]
        return paths if len(paths) > 1 else paths[0]


def set_names(paths: Iterable[Path]) -> list[str]:
    """Return a name for each set, with which the names of its frames begin.

    >>> set_names([Path("a/frames"), Path("b/frames"), Path("new.csv")])
    ['frames', 'frames-2', 'new.csv']
    """
    names: list[str] = []
    for path in paths:
        name = path.resolve().name
        forms = (name if number == 1 else f"{name}-{number}" for number in count(1))
        names.append(next(form for form in forms if form not in names))
    return names


def file_of(name: str, data: str | Sequence[str]) -> Path:
    """Return the file of a frame of a run, by its name and the paths of :meth:`DataSets.resolved`."""
    paths = [Path(data)] if isinstance(data, str) else [Path(each) for each in data]
    if isinstance(data, str):
        return _root(paths[0]) / name
    roots = dict(zip(set_names(paths), map(_root, paths), strict=True))
    first, _, rest = name.partition("/")
    return roots[first] / rest


def _root(path: Path) -> Path:
    return path if path.is_dir() else path.parent


def read(data: Path | DataSets, classes: Sequence[str], *, bit_depth: int) -> Listing:
    """List the frames of one or several sets to train on.

    Args:
        data: the values of ``--data``.
        classes: class names in label order; empty: those of the data.
        bit_depth: see :func:`inspector.imaging.decoder.decode`.

    Raises:
        DataError: a set has no frames.
    """
    sets = DataSets.of(data)
    if len(sets.paths) == 1 and sets.on_conflict == "refuse":
        return datasets.read(sets.paths[0], classes, to_train=True)
    joined = join([datasets.read(path, classes) for path in sets.paths], sets, classes, bit_depth=bit_depth)
    # While an image has two labels, one of its classes seems empty
    if not any(problem.kind == TWO_LABELS for problem in joined.problems):
        datasets.report_empty_classes(joined)
    return joined


def join(listings: Sequence[Listing], sets: DataSets, classes: Sequence[str], *, bit_depth: int) -> Listing:
    """Join listings into one, with one frame for each image.

    Args:
        listings: of each set.
        sets: where they are from.
        classes: as the listings were read with.
        bit_depth: see :func:`inspector.imaging.decoder.decode`.
    """
    joined = Listing(str(sets), list(classes) or sorted({name for each in listings for name in each.classes}))
    joined.problems = [problem for each in listings for problem in each.problems]
    if not classes:
        joined.problems += _numbers_and_names(listings, sets)
    members: list[Member] = []
    for number, (listing, name) in enumerate(zip(listings, set_names(sets.paths), strict=True)):
        labels = [joined.classes.index(each) for each in listing.classes]
        hashed = duplicates.with_hashes(listing.frames)
        members += [
            (number, replace(frame, name=f"{name}/{frame.name}", label=labels[frame.label]))
            for frame in hashed
        ]
    log.info("comparing the pixels of %d frames in %d sets", len(members), len(listings))
    frames = duplicates.with_pixel_hashes([frame for _, frame in members], bit_depth)
    members = [(number, frame) for (number, _), frame in zip(members, frames, strict=True)]
    copies: dict[str, list[Member]] = defaultdict(list)
    for member in members:
        copies[member[1].pixels or member[1].sha256 or member[1].name].append(member)
    images = list(copies.values())
    joined.problems += settle(images, joined.classes, later=sets.on_conflict == "later")
    joined.frames = one_each(images)
    joined.frames.sort(key=lambda frame: frame.name)
    if len(members) > len(images):
        log.info(
            "%d of %d frames are copies of others, so they count once",
            len(members) - len(images),
            len(members),
        )
    datasets.report_similar_classes(joined)
    joined.problems = list(dict.fromkeys(joined.problems))  # similar classes of a set were named before
    return joined


def _numbers_and_names(listings: Sequence[Listing], sets: DataSets) -> list[Problem]:
    """Return a problem if some sets number their classes and others name them: no number has a name."""
    numbers = [all(name.isdecimal() for name in each.classes) for each in listings]
    if len(set(numbers)) < 2:
        return []
    of = ", ".join(str(path) for path, is_number in zip(sets.paths, numbers, strict=True) if is_number)
    return [
        Problem("numbers for classes", f"{of}; the other data has names: list them in the recipe's 'classes'")
    ]


def settle(images: Iterable[list[Member]], classes: Sequence[str], *, later: bool) -> list[Problem]:
    """Give all copies of an image one label; return a problem for each image that keeps two.

    The label with the later time of decision is kept. A label without a time is older than one with a time.
    Of labels without a time, the one of the set that is named later is kept.
    """
    problems, kept = [], []
    for copies in images:
        if len({frame.label for _, frame in copies}) == 1:
            continue
        names = " = ".join(f"{frame.name} ({classes[frame.label]})" for _, frame in copies)
        order = [(frame.decided or _BEFORE_ALL, number) for number, frame in copies]
        labels = {frame.label for (_, frame), key in zip(copies, order, strict=True) if key == max(order)}
        if not later:
            problems.append(Problem(TWO_LABELS, f"{names}; correct one, or give --on-conflict later"))
        elif len(labels) > 1:
            problems.append(Problem(TWO_LABELS, f"{names}; neither is the later one"))
        else:
            label = labels.pop()
            kept.append(f"{names}: {classes[label]}")
            copies[:] = [(number, replace(frame, label=label)) for number, frame in copies]
    if kept:
        more = ["…"] if len(kept) > duplicates.MAX_EXAMPLES else []
        shown = "; ".join(kept[: duplicates.MAX_EXAMPLES] + more)
        log.warning("%d images have two labels, and the later one is kept: %s", len(kept), shown)
    return problems


def one_each(images: Sequence[list[Member]]) -> list[Frame]:
    """Return one frame for each image, with the run and the part that keep it on one side of the split.

    Runs that share an image are one run. All frames of a run that several sets have are in one part: the one
    that learns least. If a set has a part ``valid``, frames of a set without parts are for training, unless
    their run is held out.
    """
    run_of = _linked_runs(images)
    frames: list[Frame] = []
    sets_of: dict[str, set[int]] = defaultdict(set)
    part_of: dict[str, str | None] = {}
    for copies in images:
        first = copies[0][1]
        run = next((run_of[frame.run] for _, frame in copies if frame.run is not None), None)
        part = max((frame.part for _, frame in copies), key=_STRENGTH.__getitem__)
        frames.append(replace(first, run=run, part=part))
        if run is not None:
            sets_of[run].update(number for number, _ in copies)
            part_of[run] = max(part, part_of.get(run), key=_STRENGTH.__getitem__)
    rest = "train" if any(frame.part == "valid" for frame in frames) else None
    for row, frame in enumerate(frames):
        part = frame.part
        if frame.run is not None and len(sets_of[frame.run]) > 1:
            part = part_of[frame.run]
        frames[row] = replace(frame, part=part or rest)
    moved = Counter(
        (before[1].part, after.part)
        for (before, *_), after in zip(images, frames, strict=True)
        if before[1].part and before[1].part != after.part
    )
    for (old, new), n in sorted(moved.items()):
        log.warning(
            "%d frames of part '%s' count as '%s', because another set holds their run out", n, old, new
        )
    return frames


def _linked_runs(images: Sequence[list[Member]]) -> Mapping[str, str]:
    """Return for each run the name of the run that it is one with, because they share images."""
    parent: dict[str, str] = {}

    def root(run: str) -> str:
        while parent.setdefault(run, run) != run:
            run = parent[run]
        return run

    for copies in images:
        runs = list(dict.fromkeys(frame.run for _, frame in copies if frame.run is not None))
        for run in runs:
            root(run)
        for one, other in pairwise(runs):
            first, second = sorted((root(one), root(other)))
            parent[second] = first
    return {run: root(run) for run in parent}
