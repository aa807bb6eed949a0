"""``weld-train suspects``: labels that may be wrong, in a table and on a page, so that a person decides.

Nothing is changed by itself. A person corrects the column ``label`` of ``suspect_labels.csv``, and trains
with ``--data FRAMES --data OUT/suspect_labels.csv --on-conflict later``.
"""

from __future__ import annotations

import logging
import os
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainer.data.joining import DataSets
from trainer.errors import UsageError
from trainer.labels import features, suspects_page
from trainer.labels.confident_learning import Opinion, judge_labels
from trainer.labels.features import Sample
from trainer.labels.folds import FOLDS, out_of_fold, stratified
from trainer.run.progress import Progress
from trainer.run.saving import csv_text, write_text

log = logging.getLogger(__name__)

TABLE_FILE, PAGE_FILE = "suspect_labels.csv", "suspect_labels.html"
COLUMNS = (
    *("rank", "path", "label", "proposed_label", "label_probability", "proposed_probability"),
    *("suspect", "run", "decided"),  # 'decided' makes a correction later than the label that it corrects
)
REPEATS = 3  # divisions into folds; the answers are their mean


@dataclass(frozen=True)
class Suspects:
    """Opinions on labels. ``probabilities`` float64[N, C] are NaN for a frame that was not judged."""

    sample: Sample
    probabilities: NDArray[np.float64]
    opinion: Opinion


def suspects(data: DataSets, out: Path, progress: Progress, *, bit_depth: int = 8) -> dict[str, Any]:
    """Find labels that may be wrong, and write the table and the page.

    Returns:
        ``n`` frames, ``suspect`` of them, ``not_judged``, the files ``table`` and ``page``, and ``train``,
        the options with which corrected labels are learnt.

    Raises:
        DataError: there are problems with the labels or the images; it lists all of them.
        UsageError: the folder cannot be made.
    """
    _make(out)
    with progress:
        sample = features.read(data, out, progress, bit_depth=bit_depth)
        found = find(sample, progress)
    table, page = out / TABLE_FILE, out / PAGE_FILE
    write_text(csv_text(COLUMNS, _rows(found, out)), table)
    write_text(suspects_page.render(found), page)
    missing = int(np.isnan(found.opinion.of_label).sum())
    if missing:
        names = sorted({sample.classes[label] for label in sample.labels[np.isnan(found.opinion.of_label)]})
        log.warning(
            "%d frames could not be judged: each class of %s has one frame only", missing, ", ".join(names)
        )
    options = " ".join(f"--data {shlex.quote(str(path))}" for path in (*data.paths, table))
    return {
        "n": len(sample.labels),
        "suspect": int(found.opinion.suspect.sum()),
        "not_judged": missing,
        "table": str(table),
        "page": str(page),
        "train": f"{options} --on-conflict later",
    }


def find(sample: Sample, progress: Progress) -> Suspects:
    """Judge each label by linear probes that have learnt from other welding runs."""
    labels, classes = sample.labels, len(sample.classes)
    progress.begin("judging labels", REPEATS * FOLDS)

    def probe(rows: NDArray[np.int64], unseen: NDArray[np.int64]) -> NDArray[np.float32]:
        progress.advance()
        return sample.probe(rows, unseen)

    divisions = [stratified(labels, sample.groups, seed) for seed in range(REPEATS)]
    answers = [out_of_fold(labels, folds, classes, probe) for folds in divisions]
    probabilities = np.mean(answers, axis=0)
    return Suspects(sample, probabilities, judge_labels(probabilities, labels))


def _rows(found: Suspects, out: Path) -> Iterator[tuple[object, ...]]:
    """Return the rows, the most suspect label first; paths count from the table's folder."""
    now = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    sample, opinion = found.sample, found.opinion
    for rank, row in enumerate(opinion.order.tolist(), start=1):
        frame, label, proposed = sample.frames.frames[row], sample.labels[row], opinion.proposed[row]
        names = [sample.classes[each] for each in (label, proposed)]
        shares = [_share(found.probabilities[row, each]) for each in (label, proposed)]
        path = os.path.relpath(frame.path.resolve(), out.resolve())
        yield rank, path, *names, *shares, "yes" if opinion.suspect[row] else "no", frame.run or "", now


def _share(probability: float) -> str:
    return "" if np.isnan(probability) else f"{probability:.3f}"


def _make(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{out}: cannot be used ({error.strerror}); give another --out") from None
