"""Splits into training and held-out frames, by welding run: frames of one run are near-copies."""

from __future__ import annotations

import hashlib
import logging
import random
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence, Set
from dataclasses import replace
from types import MappingProxyType

from trainer.data.datasets import Frame
from trainer.errors import DataError, Problem

log = logging.getLogger(__name__)


def hold_out(
    frames: Sequence[Frame],
    *,
    share: float,
    seed: int,
    shared_runs: Sequence[str] = (),
    classes: Sequence[str] = (),
    learnt: Set[str] = frozenset(),
    alike: Mapping[str, str] = MappingProxyType({}),
) -> list[Frame]:
    """Return the same frames, each with its part.

    If the data has a part ``valid``, the parts stay as they are. Otherwise whole runs are held out, until
    about ``share`` of each class is in ``valid``. Each class keeps at least one run in ``train``. A frame
    without a run counts as a run, together with its copies and near-duplicates. For such frames the split is
    random and stratified, with a warning.

    Args:
        frames: of one data set.
        share: of each class's training frames to hold out, from 0 to 1.
        seed: decides between splits that are equally good.
        shared_runs: runs that the user allows in both parts of the data.
        classes: names for messages; empty: classes are named by number.
        learnt: names of frames that the networks learnt from before this run. Their runs are not held out,
            because results on them would flatter.
        alike: for the name of a frame without a run, the name of the first of its near-duplicates
            (:func:`trainer.data.near_duplicates.first_alike`). Without near-duplicates the split is the same
            as without this argument.

    Raises:
        DataError: another run is in both parts. Its frames are near-copies, so the result would flatter.
    """
    if any(frame.part == "valid" for frame in frames):
        _refuse_shared_runs(frames, shared_runs)
        _warn_of_missing(frames, classes, "")
        known = sum(frame.part == "valid" for frame in frames if frame.name in learnt)
        if known:
            log.warning(
                "the networks start from a student that learnt %d frames of 'valid', which flatters", known
            )
        return list(frames)
    pool = [frame for frame in frames if frame.part in (None, "train")]
    runless = sum(frame.run is None for frame in pool)
    if runless:
        log.warning(
            "%d of %d frames belong to no run: their split is random, which flatters if they are near-copies",
            runless,
            len(pool),
        )
    run_of = _runs(pool, alike)
    if learnt:
        log.info("%d frames that the start learnt from stay in 'train', with their runs", len(learnt))
    taught = {run_of[frame.name] for frame in pool if frame.name in learnt}
    held_runs = _choose_runs(pool, run_of, share, random.Random(seed), taught)
    groups = _groups(run_of)
    split = [
        replace(
            frame,
            part="valid" if run_of[frame.name] in held_runs else "train",
            alike=groups.get(frame.name),
        )
        if frame.part in (None, "train")
        else frame
        for frame in frames
    ]
    _warn_of_missing(
        split, classes, "a class with one run, or one group of near-duplicates, stays in 'train'; "
    )
    return split


def split_at_random(frames: Sequence[Frame]) -> list[Frame]:
    """Return the frames that :func:`hold_out` splits at random, which have no run."""
    if any(frame.part == "valid" for frame in frames):
        return []
    return [frame for frame in frames if frame.run is None and frame.part in (None, "train")]


def fingerprint(frames: Iterable[Frame], classes: Sequence[str]) -> str:
    """Return a SHA-256 over every frame's part, class, name and bytes.

    Equal ones make two results comparable. A run resumes only with an equal one.
    """
    return _digest(f"{f.part}\t{classes[f.label]}\t{f.name}\t{f.sha256}\n" for f in frames)


def fingerprint_of_names(frames: Iterable[Frame], classes: Sequence[str]) -> str:
    """Return a SHA-256 over every frame's part, class and name, as runs up to November 2026 have it."""
    return _digest(f"{f.part}\t{classes[f.label]}\t{f.name}\n" for f in frames)


def _digest(lines: Iterable[str]) -> str:
    return hashlib.sha256("".join(sorted(lines)).encode("utf-8", "surrogateescape")).hexdigest()


def _refuse_shared_runs(frames: Sequence[Frame], allowed: Sequence[str]) -> None:
    runs = {part: {f.run for f in frames if f.part == part and f.run} for part in ("train", "valid")}
    shared = sorted(runs["train"] & runs["valid"])
    refused = [run for run in shared if run not in allowed]
    if refused:
        raise DataError(
            f"'train' and 'valid' share {len(refused)} runs, which flatters; separate or allow them: "
            f"--set 'data.shared_runs={shared}'",
            [Problem("run in train and valid", run) for run in refused],
        )
    if shared:
        log.warning("'train' and 'valid' share runs, which flatters: %s", ", ".join(shared))
    if any(frame.run is None for frame in frames):
        log.warning("some frames belong to no run, so a run that 'train' and 'valid' share may go unnoticed")


def _warn_of_missing(frames: Sequence[Frame], classes: Sequence[str], why: str) -> None:
    labels = {part: {frame.label for frame in frames if frame.part == part} for part in ("train", "valid")}
    missing = sorted(labels["train"] - labels["valid"])
    if missing:
        names = ", ".join(classes[label] if classes else str(label) for label in missing)
        log.warning("%s'valid' has no frames of the classes %s: nothing is measured of them", why, names)


def _runs(pool: Sequence[Frame], alike: Mapping[str, str]) -> dict[str, Hashable]:
    """Return the run of each frame, by its name. A frame without a run is one, together with its copies."""
    first_name: dict[str, str] = {}
    for frame in sorted(pool, key=lambda frame: frame.name):
        if frame.run is None:
            first_name.setdefault(frame.sha256 or frame.name, frame.name)
    firsts = {frame.name: first_name.get(frame.sha256 or frame.name, frame.name) for frame in pool}
    return {
        frame.name: frame.run if frame.run is not None else (alike.get(first, first),)
        for frame, first in ((frame, firsts[frame.name]) for frame in pool)
    }


def _groups(run_of: Mapping[str, Hashable]) -> dict[str, str]:
    """Return the first frame of the group of each frame without a run that has copies or near-duplicates."""
    firsts = {name: run[0] for name, run in run_of.items() if isinstance(run, tuple)}
    sizes = Counter(firsts.values())
    return {name: first for name, first in firsts.items() if sizes[first] > 1}


def _choose_runs(
    pool: Sequence[Frame],
    run_of: Mapping[str, Hashable],
    share: float,
    generator: random.Random,
    never: Set[Hashable],
) -> set[Hashable]:
    """Choose runs to hold out, greedily: one for each class, then every run that brings shares nearer."""
    runs: dict[Hashable, Counter[int]] = {}
    for frame in pool:
        runs.setdefault(run_of[frame.name], Counter())[frame.label] += 1
    # Copies come with the first of them, so that they change the place of no other frame
    each = {frame.run if frame.run is not None else (frame.name,): run_of[frame.name] for frame in pool}
    shuffled = sorted(each, key=str)
    generator.shuffle(shuffled)
    order = list(dict.fromkeys(each[key] for key in shuffled))
    total = Counter(frame.label for frame in pool)
    runs_kept = Counter(label for counts in runs.values() for label in counts)  # in train, by class
    held_runs: set[Hashable] = set()
    frames_held: Counter[int] = Counter()  # in valid, by class

    def gain(run: Hashable) -> float:
        """Return how much nearer to ``share`` its classes come if this run is held out."""
        return sum(
            abs(frames_held[label] / total[label] - share)
            - abs((frames_held[label] + n) / total[label] - share)
            for label, n in runs[run].items()
        )

    def can_be_spared(run: Hashable) -> bool:
        return run not in held_runs and run not in never and all(runs_kept[label] > 1 for label in runs[run])

    def hold(run: Hashable) -> None:
        held_runs.add(run)
        frames_held.update(runs[run])
        runs_kept.subtract(dict.fromkeys(runs[run], 1))

    for label in sorted(total, key=lambda label: (runs_kept[label], label)):
        candidates = [run for run in order if label in runs[run] and can_be_spared(run)]
        if not frames_held[label] and candidates:
            hold(max(candidates, key=gain))
    for run in order:
        if can_be_spared(run) and gain(run) > 0:
            hold(run)
    return held_runs
