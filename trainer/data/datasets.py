"""Lists of labelled frames: every form of ``--data`` becomes frames with label, welding run and part.

=====================================  ==================================================================
a folder of class folders              a frame's run is the sub-folder below its class folder, if any
a folder that holds one ``*.json``     ``{relative path: class number}``; the run is the path's folder
a CSV, or a folder that holds one      ``path,label[,run]``, paths from the CSV's folder; the label is a
                                       class name or number
a folder of ``train valid test``       each in any of the forms above
=====================================  ==================================================================

Only label files are opened here. Their problems are collected instead of raised, so that a user sees all of
them at once. :func:`trainer.data.frames.load` adds the images that cannot be read.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from trainer.errors import DataError, Problem, did_you_mean

PARTS = ("train", "valid", "test")
IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff"})


@dataclass(frozen=True, slots=True)
class Frame:
    """One labelled frame. ``name`` is its path below ``--data``, ``label`` its class number."""

    path: Path
    name: str
    label: int
    run: str | None = None
    part: str | None = None


@dataclass
class Listing:
    """The frames of ``--data``, sorted by name, so that the order of a folder listing does not matter."""

    source: Path
    classes: list[str]
    frames: list[Frame] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def part(self, *parts: str | None) -> list[Frame]:
        """Return the frames of these parts."""
        return [frame for frame in self.frames if frame.part in parts]


def read(data: Path, classes: Sequence[str] = (), *, to_train: bool = False) -> Listing:
    """List the frames of ``--data``.

    Args:
        data: folder or CSV, in any form of the module's table.
        classes: class names in label order; empty: the names of the class folders, sorted.
        to_train: whether every class needs training frames.

    Returns:
        The frames that exist, and a problem for every missing file, unknown label and empty class.

    Raises:
        DataError: there are no frames.
    """
    listing = Listing(data, list(classes))
    for part, folder in _part_folders(data):
        found = _read_part(folder, listing)
        prefix = "" if folder == data else f"{folder.name}/"
        listing.frames += [replace(frame, part=part, name=prefix + frame.name) for frame in found]
    listing.frames.sort(key=lambda frame: frame.name)
    _report_duplicates(listing)
    if to_train:
        _report_empty_classes(listing)
    if not listing.frames:
        raise DataError(data, listing.problems or [Problem("nothing to read", "there are no images in it")])
    return listing


def _part_folders(data: Path) -> list[tuple[str | None, Path]]:
    if not data.exists():
        raise DataError(data, [Problem("missing", "there is no such file or folder")])
    parts = [(name, data / name) for name in PARTS if (data / name).is_dir()] if data.is_dir() else []
    return list(parts) or [(None, data)]


def _read_part(data: Path, listing: Listing) -> list[Frame]:
    if data.is_file():
        if data.suffix.lower() != ".csv":
            raise DataError(data, [Problem("unknown form", "give a folder, or a CSV of path,label[,run]")])
        return list(_frames_in_rows(data, listing, _csv_rows(data)))
    jsons = sorted(data.glob("*.json"))
    if len(jsons) > 1:
        names = ", ".join(path.name for path in jsons)
        raise DataError(data, [Problem("unclear labels", f"which of {names}? keep one")])
    if jsons:
        return list(_frames_in_rows(jsons[0], listing, _json_rows(jsons[0])))
    csvs = [path for path in sorted(data.glob("*.csv")) if _has_header(path)]
    if len(csvs) == 1:
        return list(_frames_in_rows(csvs[0], listing, _csv_rows(csvs[0])))
    return list(_frames_in_folders(data, listing))


def _frames_in_folders(data: Path, listing: Listing) -> Iterator[Frame]:
    folders = sorted(path for path in data.iterdir() if path.is_dir() and not path.name.startswith("."))
    if not listing.classes:
        listing.classes = [folder.name for folder in folders]
    for folder in folders:
        if folder.name not in listing.classes:
            hint = did_you_mean(folder.name, listing.classes)
            listing.problems.append(Problem("unknown class folder", f"{folder}{hint}"))
            continue
        for path in sorted(folder.rglob("*")):
            if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith("."):
                run = path.relative_to(folder).parent.as_posix()
                yield Frame(
                    path,
                    path.relative_to(data).as_posix(),
                    listing.classes.index(folder.name),
                    None if run == "." else run,
                )


Row = tuple[str, object, str | None]  # path, label, run


def _frames_in_rows(table: Path, listing: Listing, rows: Iterator[Row]) -> Iterator[Frame]:
    label_of = _label_reader(listing)
    for name, label, run in rows:
        number = label_of(label)
        path = table.parent / name
        if number is None:
            hint = did_you_mean(str(label), listing.classes)
            listing.problems.append(Problem("unknown label", f"{label!r} of {name} in {table}{hint}"))
        if not path.is_file():
            listing.problems.append(Problem("missing file", f"{name} in {table}"))
        elif number is not None:
            yield Frame(path, Path(name).as_posix(), number, run)


def _label_reader(listing: Listing) -> Callable[[object], int | None]:
    """Return a function from a label to its class number; None for an unknown label.

    A label is a class name or a class number. If nothing names the classes, the labels are the names.
    """
    named_by_labels = not listing.classes

    def number(label: object) -> int | None:
        text = str(label).strip()
        if text in listing.classes:
            return listing.classes.index(text)
        if named_by_labels and text and isinstance(label, str | int) and not isinstance(label, bool):
            listing.classes.append(text)
            return len(listing.classes) - 1
        if not named_by_labels and not isinstance(label, bool) and text.isdecimal():
            return int(text) if int(text) < len(listing.classes) else None
        return None

    return number


def _json_rows(path: Path) -> Iterator[Row]:
    try:
        content = json.loads(_read_text(path))
    except ValueError as error:
        raise DataError(path, [Problem("not JSON", str(error))]) from None
    if not isinstance(content, dict):
        raise DataError(path, [Problem("not a label file", "it must be {relative path: class number}")])
    # Sorted by label: if labels name the classes, the classes are in this order.
    for name, label in sorted(content.items(), key=lambda item: (str(item[1]), item[0])):
        run = Path(name).parent.as_posix()
        yield name, label, None if run == "." else run


def _csv_rows(path: Path) -> Iterator[Row]:
    rows = [row for row in csv.reader(io.StringIO(_read_text(path), newline="")) if row]
    header = ["path", "label", "run"]
    if rows and [cell.strip().lower() for cell in rows[0][:2]] == header[:2]:
        header = [cell.strip().lower() for cell in rows.pop(0)]
    short = [number for number, row in enumerate(rows, start=1) if len(row) < 2]
    if short:
        raise DataError(path, [Problem("row without a label", f"row {number}") for number in short])
    cells = [dict(zip(header, row, strict=False)) for row in rows]
    for cell in sorted(cells, key=lambda cell: (cell["label"], cell["path"])):
        yield cell["path"], cell["label"], cell.get("run", "").strip() or None


def _has_header(path: Path) -> bool:
    with path.open(encoding="utf-8-sig", errors="replace") as stream:
        return stream.readline().replace(" ", "").lower().startswith("path,label")


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(path, [Problem("unreadable label file", str(error))]) from None


def _report_duplicates(listing: Listing) -> None:
    seen: dict[Path, Frame] = {}
    for frame in listing.frames:
        first = seen.setdefault(frame.path.resolve(), frame)
        if first is not frame:
            listing.problems.append(Problem("listed twice", f"{frame.name} (also {first.name})"))


def _report_empty_classes(listing: Listing) -> None:
    present = {frame.label for frame in listing.part(None, "train")}
    if listing.frames and not present:
        listing.problems.append(Problem("no training frames", f"there is no 'train' in {listing.source}"))
        return
    for number, name in enumerate(listing.classes):
        if number not in present:
            listing.problems.append(Problem("empty class", name))
