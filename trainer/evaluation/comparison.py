"""A comparison of a new artifact with the one in service, on the same frames."""

from __future__ import annotations

import logging
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from inspector.network.metadata import ArtifactFile
from trainer.data.joining import DataSets
from trainer.errors import DataError, UsageError
from trainer.evaluation.judging import judge_frames, read_frames, refuse_no_frames, warn_of_learnt_frames
from trainer.evaluation.metrics import (
    independent_groups,
    interval_over_runs,
    macro_f1,
    mcnemar,
    sign_flip,
    wilson,
)
from trainer.run.progress import Progress

log = logging.getLogger(__name__)

SIGNIFICANCE_LEVEL = 0.05  # p-values below this count as a difference


def compare(
    old: Path, new: Path, data: Path | DataSets, part: str | None, progress: Progress
) -> dict[str, Any]:
    """Judge both artifacts on the same labelled frames; each prepares the frames in its own way.

    Frames that one of them learnt from are left out. Classes are compared by name: on frames of a class that
    only one artifact knows, the other is always wrong.
    The function is long by its description of the arguments; its code fits a screen.

    Args:
        old: the artifact in service.
        new: the one that may replace it.
        data: any form of ``--data``.
        part: of the data; None takes ``test``, else ``valid``, else everything.
        progress: shown while frames are judged.

    Returns:
        ``n``; ``accuracy`` with interval, ``macro_f1`` and ``balanced_accuracy`` of each artifact;
        ``only_old`` and ``only_new``, the frames that only one of them has right; ``p``, McNemar's exact
        p-value, over runs if runs are known; ``verdict``; the same by class in ``per_class``, with p-values
        corrected for the number of classes;
        ``changed``, the frames that the old artifact has right and the new one wrong; ``learnt_from``, the
        number of frames left out, null if an artifact does not record its training frames;
        ``only_old_knows`` and ``only_new_knows``, classes.

    Raises:
        UsageError: the artifacts have no class in common.
        ArtifactError: an artifact cannot be used on this machine.
        DataError: the data has no such frames, or frames cannot be read.
    """
    files = [ArtifactFile.read(path) for path in (old, new)]
    first, second = (file.metadata() for file in files)
    names = list(dict.fromkeys([*first.class_names, *second.class_names]))
    _check_classes(old, first.class_names, new, second.class_names)
    listing, chosen = read_frames(data, names, part, bit_depth=second.bit_depth)
    listed = listing.frames
    with progress:
        problems = listing.problems
        each = (
            judge_frames(files[0], first, listed, problems, progress),
            judge_frames(files[1], second, listed, [], progress),
        )
    if problems:
        raise DataError(DataSets.of(data), problems)
    for path, judged in zip((old, new), each, strict=True):
        warn_of_learnt_frames(judged, len(listed), path)
    by_old, by_new = each[0].together_with(each[1])
    refuse_no_frames(by_old, DataSets.of(data))
    frames = by_old.frames
    old_answers, new_answers = (
        torch.tensor([names.index(name) for name in known])[judged.probabilities.argmax(dim=1)]
        for judged, known in ((by_old, first.class_names), (by_new, second.class_names))
    )
    old_right, new_right = old_answers == frames.labels, new_answers == frames.labels
    by_class = {name: (frames.labels == label).nonzero().flatten() for label, name in enumerate(names)}
    per_class = {
        name: compare_answers(old_right[rows], new_right[rows], [frames.runs[row] for row in rows.tolist()])
        for name, rows in by_class.items()
        if len(rows)
    }
    compared = with_verdict(compare_answers(old_right, new_right, frames.runs))
    for side, answers in (("old", old_answers), ("new", new_answers)):
        recalls = [each[side]["accuracy"] for each in per_class.values()]
        compared[side] |= {
            "macro_f1": macro_f1(answers, frames.labels, len(names)),
            "balanced_accuracy": statistics.fmean(recalls),
        }
    return {
        "n": len(frames),
        "part": chosen,
        **compared,
        "per_class": corrected(per_class),
        "changed": [
            frame.name
            for frame, before, after in zip(
                frames.frames, old_right.tolist(), new_right.tolist(), strict=True
            )
            if before and not after
        ],
        "learnt_from": None if by_old.learnt_from is None else len(by_old.learnt_from),
        "only_old_knows": [name for name in names if name not in second.class_names],
        "only_new_knows": [name for name in names if name not in first.class_names],
    }


def _check_classes(old: Path, ours: Sequence[str], new: Path, theirs: Sequence[str]) -> None:
    """Log classes that only one artifact knows, and how class numbers are read.

    Raises:
        UsageError: the artifacts have no class in common.
    """
    if not set(ours) & set(theirs):
        raise UsageError(f"{old} knows the classes {', '.join(ours)}, but {new} {', '.join(theirs)}")
    for one, known, other, unknown in ((old, ours, new, theirs), (new, theirs, old, ours)):
        alone = [name for name in known if name not in unknown]
        if alone:
            log.warning("only %s knows %s: on their frames %s is always wrong", one, ", ".join(alone), other)
    if list(theirs[: len(ours)]) != list(ours):
        log.info(
            "the artifacts order their classes differently: class numbers in the data are those of %s", old
        )


def compare_answers(old: Tensor, new: Tensor, runs: Sequence[str | None] = ()) -> dict[str, Any]:
    """Compare which frames two artifacts have right, bool[N] each.

    Frames of a run are alike, so each run is one observation: by how many frames the new artifact leads in
    it. If the artifacts are equally good, each run's lead is as likely to be the other's. If each frame is a
    run of its own, this is McNemar's test.
    """
    lead = new.int() - old.int()
    only_old, only_new = int((lead < 0).sum()), int((lead > 0).sum())
    groups = torch.tensor(independent_groups(len(old), runs))
    leads = torch.bincount(groups, weights=lead.double()).long()
    moved = leads[leads != 0].abs().tolist()
    alone = len(moved) == only_old + only_new  # each frame that only one has right is a run of its own
    return {
        "frames": len(old),
        "runs": len(leads),
        "old": _accuracy(old, runs),
        "new": _accuracy(new, runs),
        "only_old": only_old,
        "only_new": only_new,
        "p": mcnemar(only_old, only_new) if alone else sign_flip(moved, only_new - only_old),
    }


def with_verdict(compared: dict[str, Any]) -> dict[str, Any]:
    """Add the verdict that ``p`` allows."""
    verdict = "no clear difference"
    if compared["p"] < SIGNIFICANCE_LEVEL:
        verdict = "new is better" if compared["only_new"] > compared["only_old"] else "new is worse"
    return compared | {"verdict": verdict}


def corrected(per_class: Mapping[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Correct each class's ``p`` for the number of classes (Holm 1979), and add its verdict.

    Of many equal classes one would seem better or worse by chance: of 50, in three of four comparisons.
    """
    least = 0.0
    adjusted: dict[str, float] = {}
    for done, (name, compared) in enumerate(sorted(per_class.items(), key=lambda item: item[1]["p"])):
        least = max(least, min(1.0, (len(per_class) - done) * compared["p"]))
        adjusted[name] = least
    return {name: with_verdict(compared | {"p": adjusted[name]}) for name, compared in per_class.items()}


def _accuracy(right: Tensor, runs: Sequence[str | None]) -> dict[str, Any]:
    count, n = int(right.sum()), len(right)
    return {
        "accuracy": count / n,
        "accuracy_interval": list(wilson(count, n)),
        "accuracy_interval_runs": interval_over_runs(right, runs),
    }
