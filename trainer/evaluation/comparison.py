"""A comparison of a new artifact with the one in service, on the same frames."""

from __future__ import annotations

import logging
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from inspector.network.metadata import ArtifactFile, Metadata, WeldClass
from trainer.data.joining import DataSets
from trainer.errors import DataError, UsageError
from trainer.evaluation.judging import (
    Judged,
    judge_frames,
    read_frames,
    refuse_no_frames,
    warn_of_learnt_frames,
)
from trainer.evaluation.metrics import macro_f1
from trainer.evaluation.paired import compare_answers, corrected, holm, with_verdict
from trainer.evaluation.verdicts import frames_by_verdict, share
from trainer.run.progress import Progress

log = logging.getLogger(__name__)


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
        corrected for the number of classes; ``verdicts``, see :func:`compare_verdicts`;
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
        "verdicts": compare_verdicts((by_old, first), (by_new, second)),
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


def compare_verdicts(old: tuple[Judged, Metadata], new: tuple[Judged, Metadata]) -> dict[str, Any]:
    """Compare the verdicts of two artifacts on the same frames, each at its own thresholds.

    ``passed``, ``failed``, ``review``, ``escapes`` and ``overkill`` each have the share of ``old`` and of
    ``new`` (:func:`trainer.evaluation.verdicts.share`); ``only_old`` and ``only_new``, the frames that count
    for only one of them; and ``p``, corrected for the five of them and null without frames. If both artifacts
    know a class, the new one says whether it is a defect.
    """
    labelled = _labelled(old[1], new[1])
    frames = new[0].frames
    before, after = (
        frames_by_verdict(judged.probabilities, judged.novelty, frames.labels, metadata, labelled)
        for judged, metadata in (old, new)
    )
    compared: dict[str, dict[str, Any]] = {}
    for name, (ours, of) in before.items():
        theirs = after[name][0]
        runs = [frames.runs[row] for row in of.nonzero().flatten().tolist()]
        pairs = compare_answers(ours[of], theirs[of], runs) if runs else {"only_old": 0, "only_new": 0}
        compared[name] = {
            "old": share(ours, of, frames.runs),
            "new": share(theirs, of, frames.runs),
            **{key: pairs.get(key) for key in ("only_old", "only_new", "p")},
        }
    adjusted = holm({name: each["p"] for name, each in compared.items() if each["p"] is not None})
    return {name: each | {"p": adjusted.get(name)} for name, each in compared.items()}


def _labelled(old: Metadata, new: Metadata) -> list[WeldClass]:
    """The classes of both artifacts, in the order of :func:`compare`'s labels; see there."""
    known = {c.name: c for c in old.classes}
    for theirs in new.classes:
        ours = known.get(theirs.name, theirs)
        if ours.role != theirs.role:
            log.warning(
                "'%s' is of role %s in the old artifact and %s in the new one: its frames count as %s",
                theirs.name,
                ours.role,
                theirs.role,
                theirs.role,
            )
        known[theirs.name] = theirs
    return list(known.values())
