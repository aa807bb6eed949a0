"""A comparison of a new artifact with the one in service, on the same frames."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from inspector.network.metadata import read as read_metadata
from trainer.errors import UsageError
from trainer.evaluation.metrics import mcnemar, wilson
from trainer.evaluation.report import judge_frames
from trainer.run.progress import Progress

SIGNIFICANCE_LEVEL = 0.05  # p-values below this count as a difference


def compare(old: Path, new: Path, data: Path, part: str | None, progress: Progress) -> dict[str, Any]:
    """Judge both artifacts on the same labelled frames; each prepares the frames in its own way.

    Args:
        old: the artifact in service.
        new: the one that may replace it.
        data: any form of ``--data``.
        part: of the data; None takes ``test``, else ``valid``, else everything.
        progress: shown while frames are judged.

    Returns:
        ``n``; ``accuracy`` with interval of each artifact; ``only_old`` and ``only_new``, the frames that
        only one of them has right; ``p``, McNemar's exact p-value; ``verdict``; the same by class in
        ``per_class``; ``changed``, the frames that the old artifact has right and the new one wrong.

    Raises:
        UsageError: the artifacts do not have the same classes in the same order.
        ArtifactError: an artifact cannot be used on this machine.
        DataError: the data has no such frames, or frames cannot be read.
    """
    metadata = [read_metadata(path) for path in (old, new)]
    names = metadata[0].class_names
    if names != metadata[1].class_names:
        raise UsageError(
            f"{old} knows the classes {', '.join(names)}, but {new} {', '.join(metadata[1].class_names)}"
        )
    right: list[list[bool]] = []  # by the old artifact and by the new one, for each frame
    with progress:
        for path, described in zip((old, new), metadata, strict=True):
            answers, frames, chosen = judge_frames(path, described, data, part, progress)
            right.append((answers.argmax(dim=1) == frames.labels).tolist())
    by_class = {
        name: (frames.labels == label).nonzero().flatten().tolist() for label, name in enumerate(names)
    }
    changed = [
        frame.name for frame, before, after in zip(frames.frames, *right, strict=True) if before and not after
    ]
    return {
        "n": len(frames),
        "part": chosen,
        **_compare(*right),
        "per_class": {
            name: _compare(*([answers[i] for i in indices] for answers in right))
            for name, indices in by_class.items()
            if indices
        },
        "changed": changed,
    }


def _compare(old: list[bool], new: list[bool]) -> dict[str, Any]:
    only_old = sum(before and not after for before, after in zip(old, new, strict=True))
    only_new = sum(after and not before for before, after in zip(old, new, strict=True))
    p = mcnemar(only_old, only_new)
    verdict = "no clear difference"
    if p < SIGNIFICANCE_LEVEL:
        verdict = "new is better" if only_new > only_old else "new is worse"
    return {
        "frames": len(old),
        "old": {"accuracy": sum(old) / len(old), "accuracy_interval": list(wilson(sum(old), len(old)))},
        "new": {"accuracy": sum(new) / len(new), "accuracy_interval": list(wilson(sum(new), len(new)))},
        "only_old": only_old,
        "only_new": only_new,
        "p": p,
        "verdict": verdict,
    }
