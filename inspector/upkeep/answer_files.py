"""Answers of a rejudgement as Parquet files, in a folder or behind a URL of fsspec.

A worker that judges has no access to the database. It writes the answers on a page, and the one process that
records reads them. Numbers keep all their digits.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq
from fsspec.core import url_to_fs

from inspector.errors import FolderError, ImageError
from inspector.records import InForce, Judgement, Rejudgement, Verdict
from inspector.station.second_opinion import Archived, Unread
from inspector.upkeep.rejudge_engines import Answers

log = logging.getLogger("weldnet")

_COLUMNS = pa.schema(
    [
        ("inspection", pa.int64()),
        ("sha256", pa.string()),
        ("path", pa.string()),
        ("verdict", pa.string()),
        ("label", pa.string()),
        ("confidence", pa.float64()),
        ("probabilities", pa.string()),  # JSON, in class order
        ("novelty", pa.float64()),
        ("reason", pa.string()),
        ("unread", pa.string()),  # reason why there is no row for now
        ("detail", pa.string()),  # of that
    ]
)


@dataclass(frozen=True, slots=True)
class AnswerFiles:
    """The files of one artifact with its settings, below a place that every worker can write to.

    Anyone who can write there decides which verdicts are recorded.
    """

    place: str

    @classmethod
    def of(cls, work: str, in_force: InForce) -> AnswerFiles:
        """Return the files of this artifact, settings and station below ``work``, a folder or a URL."""
        key = "\n".join((in_force.station, in_force.artifact_sha256, in_force.settings_sha256))
        return cls(f"{work.rstrip('/')}/{hashlib.sha256(key.encode()).hexdigest()[:16]}")

    def prepare(self) -> None:
        """Make the folder.

        Raises:
            FolderError: it cannot be made.
        """
        files, root = url_to_fs(self.place)
        try:
            files.makedirs(root, exist_ok=True)
        except OSError as error:
            raise FolderError(
                f"{self.place}: {error.strerror or error}; name another folder by --work"
            ) from None

    def names(self) -> list[str]:
        """Return the names of the files that are there."""
        files, root = url_to_fs(self.place)
        files.invalidate_cache()
        return [path for path in sorted(files.ls(root, detail=False)) if path.endswith(".parquet")]

    def write(self, answers: Answers) -> str:
        """Write a file and return its name."""
        files, root = url_to_fs(self.place)
        name, buffer = f"{root}/{uuid4().hex}.parquet", io.BytesIO()
        pq.write_table(pa.Table.from_pylist(list(_rows(answers)), _COLUMNS), buffer)
        files.pipe_file(name, buffer.getvalue())
        return name

    def read(self, name: str) -> Answers | None:
        """Return a file's answers; None for half a file, as a worker leaves it that was killed."""
        files, _ = url_to_fs(self.place)
        try:
            table = pq.read_table(io.BytesIO(files.cat_file(name)))
        except pa.ArrowInvalid:
            log.warning("%s: is half a file of a run that was killed; its images are judged again", name)
            return None
        return _answers(table.to_pylist())

    def remove(self, name: str) -> None:
        """Remove a file whose answers are recorded."""
        files, _ = url_to_fs(self.place)
        files.rm_file(name)


def _rows(answers: Answers) -> Iterator[dict[str, Any]]:
    images = {image.inspection: image for image in answers.images}
    for row in answers.rows:
        said = row.judgement
        yield _image(images[row.inspection]) | (
            {"reason": row.reason}
            if said is None
            else {
                "verdict": said.verdict.value,
                "label": said.label,
                "confidence": said.confidence,
                "probabilities": json.dumps(said.probabilities),
                "novelty": said.novelty,
                "reason": said.reason,
            }
        )
    for item in answers.unread:
        yield _image(item.image) | {"unread": item.error.reason, "detail": item.error.detail}


def _image(image: Archived) -> dict[str, Any]:
    return {"inspection": image.inspection, "sha256": image.sha256, "path": image.path}


def _answers(rows: list[dict[str, Any]]) -> Answers:
    images = [Archived(row["inspection"], row["sha256"], row["path"]) for row in rows]
    answers = Answers(images)
    for image, row in zip(images, rows, strict=True):
        if row["unread"]:
            answers.unread.append(Unread(image, ImageError(row["unread"], row["detail"])))
            continue
        said = _judgement(row) if row["verdict"] else None
        answers.rows.append(Rejudgement(image.inspection, said, None if said else row["reason"]))
    return answers


def _judgement(row: dict[str, Any]) -> Judgement:
    return Judgement(
        verdict=Verdict(row["verdict"]),
        label=row["label"],
        confidence=row["confidence"],
        probabilities=json.loads(row["probabilities"]),
        novelty=row["novelty"],
        heat=None,
        reason=row["reason"],
    )
