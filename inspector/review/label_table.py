"""``labels.csv`` of an exported data set: read again, brought up to date, and written whole or not at all."""

from __future__ import annotations

import csv
import hashlib
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from inspector import times
from inspector.errors import UsageError
from inspector.review.labels import Taught
from inspector.spreadsheets import tables

LABELS = "labels.csv"
COLUMNS = ("path", "label", "run", "part", "seam", "decided", "sha256")
_NEEDED = ("path", "label")


@dataclass(slots=True)
class LabelTable:
    """The rows of a table, by column, in their order; columns that a person added stay."""

    columns: list[str] = field(default_factory=lambda: list(COLUMNS))
    rows: dict[str, dict[str, str]] = field(default_factory=dict)  # by the hash of the image

    @classmethod
    def read(cls, folder: Path) -> LabelTable:
        """Read the table of a folder.

        Raises:
            UsageError: the folder holds none, or one without the columns path and label.
        """
        path = folder / LABELS
        try:
            lines = tables.read_rows(path, _NEEDED)
        except tables.TableError as error:
            raise UsageError(
                f"--add: {path}: {error}; give a folder that export made, or a new one"
            ) from None
        header = [cell.strip().lower() for cell in lines[0][1]] if lines else []
        if not set(_NEEDED) <= set(header):
            raise UsageError(f"--add: {path}: its first line does not name path and label; give a new folder")
        table = cls([*header, *(name for name in COLUMNS if name not in header)])
        for number, cells in lines[1:]:
            row = dict.fromkeys(table.columns, "") | dict(zip(header, cells, strict=False))
            digest = row["sha256"] or _sha256(folder / row["path"]) or f"line {number}"
            table.rows[digest] = row | {"sha256": digest if digest[:5] != "line " else ""}
        return table

    def counts(self) -> Counter[tuple[str, str]]:
        """Return the number of images of each run and class."""
        return Counter((row["run"], row["label"]) for row in self.rows.values())

    def add(self, image: Taught, name: str) -> None:
        """Add the row of a new image, which is in the folder under this name."""
        place = {"part": tables.as_cell(image.part), "seam": tables.as_cell(image.seam)}
        row = {"path": name, "label": image.label, "run": image.run, "sha256": image.sha256} | place
        self.rows[image.sha256] = dict.fromkeys(self.columns, "") | row | {"decided": _text(image.decided_us)}

    def update(self, image: Taught) -> Literal["unchanged", "relabelled", "kept"]:
        """Give an image that is there its label of now, if that is later than the table's.

        A label that a person wrote into the table by hand is ``kept``: its time is that of the verdict.
        """
        row = self.rows[image.sha256]
        before, now = _instant(row["decided"]), _instant(_text(image.decided_us))
        if row["label"] == image.label:
            row["decided"] = (
                _text(image.decided_us) if now and (not before or now > before) else row["decided"]
            )
            return "unchanged"
        withdrawn = before is not None and now is None  # a person is undecided since: the station's verdict
        if withdrawn or (now is not None and (before is None or now > before)):
            row |= {"label": image.label, "decided": _text(image.decided_us)}
            return "relabelled"
        return "kept"

    def write(self, folder: Path) -> None:
        """Write the table in one step.

        Raises:
            OSError: the folder cannot be written.
        """
        temporary = folder / f".{LABELS}.tmp"
        with temporary.open("w", encoding="utf-8-sig", newline="") as stream:
            table = csv.DictWriter(stream, self.columns, lineterminator="\n", extrasaction="ignore")
            table.writeheader()
            table.writerows(self.rows.values())
        temporary.replace(folder / LABELS)


def _text(decided_us: int | None) -> str:
    text = times.iso(decided_us, UTC, timespec="microseconds")
    return text if text and _instant(text) else ""  # a wrong clock may be beyond every date


def _instant(text: str) -> datetime | None:
    try:
        instant = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)


def _sha256(path: Path) -> str | None:
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError:
        return None
