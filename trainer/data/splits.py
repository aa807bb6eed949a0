"""Splits into training and held-out frames, by welding run: frames of one run are near-copies."""

from __future__ import annotations

import hashlib
import logging
import random
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import replace

from trainer.data.datasets import Frame
from trainer.errors import DataError, Problem

log = logging.getLogger(__name__)


def hold_out(
    frames: Sequence[Frame], *, share: float, seed: int, shared_runs: Sequence[str] = ()
) -> list[Frame]:
    """Return the same frames, each with its part.

    If the data has a part ``valid``, the parts stay as they are. Otherwise whole runs are held out, until
    about ``share`` of each class is in ``valid``. Each class keeps at least one run in ``train``. A frame
    without a run counts as a run. For such frames the split is random and stratified, with a warning.

    Args:
        frames: of one data set.
        share: of each class's training frames to hold out, from 0 to 1.
        seed: decides between splits that are equally good.
        shared_runs: runs that the user allows in both parts of the data.

    Raises:
        DataError: another run is in both parts. Its frames are near-copies, so the result would flatter.
    """
    if any(frame.part == "valid" for frame in frames):
        _refuse_shared_runs(frames, shared_runs)
        return list(frames)
    pool = [frame for frame in frames if frame.part in (None, "train")]
    runless = sum(frame.run is None for frame in pool)
    if runless:
        log.warning(
            "%d of %d frames belong to no run: their split is random, which flatters if they are near-copies",
            runless,
            len(pool),
        )
    held_runs = _choose_runs(pool, share, random.Random(seed))
    missing = {frame.label for frame in pool} - {frame.label for frame in pool if _run_of(frame) in held_runs}
    if missing:
        log.warning(
            "classes with one run stay in 'train', so 'valid' has no frames of the classes %s",
            sorted(missing),
        )
    return [
        replace(frame, part="valid" if _run_of(frame) in held_runs else "train")
        if frame.part in (None, "train")
        else frame
        for frame in frames
    ]


def fingerprint(frames: Iterable[Frame], classes: Sequence[str]) -> str:
    """Return a SHA-256 over every frame's part, class and name. Equal ones make two results comparable."""
    lines = sorted(f"{frame.part}\t{classes[frame.label]}\t{frame.name}\n" for frame in frames)
    return hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest()


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


def _run_of(frame: Frame) -> Hashable:
    return frame.run if frame.run is not None else (frame.name,)


def _choose_runs(pool: Sequence[Frame], share: float, generator: random.Random) -> set[Hashable]:
    """Choose runs to hold out, greedily: one for each class, then every run that brings shares nearer."""
    runs: dict[Hashable, Counter[int]] = {}
    for frame in pool:
        runs.setdefault(_run_of(frame), Counter())[frame.label] += 1
    order = sorted(runs, key=str)
    generator.shuffle(order)
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
        return run not in held_runs and all(runs_kept[label] > 1 for label in runs[run])

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
