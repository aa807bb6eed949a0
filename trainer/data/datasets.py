"""Lists of labelled frames: every form of ``--data`` becomes frames with label, welding run and part.

=====================================  ==================================================================
a folder of class folders              a frame's run is the sub-folder below its class folder, if any
a folder that holds one ``*.json``     ``{relative path: class number}``; the run is the path's folder
a CSV, or a folder that holds one      ``path,label[,run,decided]``, paths from the CSV's folder; the label
                                       is a class name or number
a folder of ``train valid test``       each in any of the forms above; ``val``, ``test_set`` will do, too
=====================================  ==================================================================

Only label files are opened here. Their problems are collected instead of raised, so that a user sees all of
them at once. :func:`trainer.data.frames.load` adds the images that cannot be read. Files that are not used
are no problem, but each kind of them is named with its number.
"""

from __future__ import annotations

import logging
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from trainer.data import label_tables, left_out
from trainer.data.files import in_system_folder, is_frame, is_system_folder
from trainer.errors import DataError, Problem, did_you_mean

log = logging.getLogger(__name__)

# The usual names of parts: Ultralytics and torchvision's examples write val, Keras's write validation.
_PART_OF_WORD = {
    "train": "train",
    "training": "train",
    "valid": "valid",
    "val": "valid",
    "validation": "valid",
    "dev": "valid",
    "test": "test",
    "testing": "test",
}
_WORDS_BESIDE_A_PART = {"set", "data", "dataset", "images", "frames", "split"}  # test_set, val-images
PARTS = ("train", "valid", "test")


@dataclass(frozen=True, slots=True)
class Frame:
    """One labelled frame. ``name`` is its path below ``--data``, ``label`` its class number.

    ``sha256`` is of the file (:mod:`trainer.data.duplicates`), ``decided`` is when a person gave the label,
    ``pixels`` is the content hash (:func:`trainer.data.frames.content_hash`); None if it is not known.
    ``alike`` is the name of the first frame of its group of near-duplicates; None if it is in no group.
    """

    path: Path
    name: str
    label: int
    run: str | None = None
    part: str | None = None
    sha256: str | None = None
    decided: datetime | None = None
    pixels: str | None = None
    alike: str | None = None


@dataclass
class Listing:
    """The frames of ``--data``, sorted by name, so that the order of a folder listing does not matter.

    ``source`` is the data's path, or a text that names several.
    """

    source: Path | str
    classes: list[str]
    frames: list[Frame] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(
        default_factory=list
    )  # files that are there and not used, one line for each kind

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
    for part, folder in _part_folders(data, listing):
        found = _read_part(folder, listing)
        prefix = "" if folder == data else f"{folder.name}/"
        listing.frames += [replace(frame, part=part, name=prefix + frame.name) for frame in found]
    listing.frames.sort(key=lambda frame: frame.name)
    _report_duplicates(listing)
    report_similar_classes(listing)
    if to_train and listing.frames:
        report_empty_classes(listing)
    for note in listing.notes:
        log.warning("%s", note)
    if not listing.frames:
        raise DataError(data, listing.problems or [Problem("nothing to read", "there are no images in it")])
    return listing


def _part_folders(data: Path, listing: Listing) -> list[tuple[str | None, Path]]:
    if not data.exists():
        raise DataError(data, [Problem("missing", "there is no such file or folder")])
    if not data.is_dir():
        return [(None, data)]
    of_part: dict[str, list[Path]] = defaultdict(list)
    for folder in _own_folders(data):
        part = _part_of_name(folder.name)
        if part and folder.name not in listing.classes:
            of_part[part].append(folder)
    for part, found in of_part.items():
        if len(found) > 1:
            names = " and ".join(f"'{folder.name}'" for folder in found)
            raise DataError(
                data, [Problem("two folders for one part", f"{names} are both '{part}'; keep one")]
            )
    if not of_part:
        return [(None, data)]
    used = {found[0] for found in of_part.values()}
    listing.notes += left_out.beside_parts(data, used)
    return [(part, of_part[part][0]) for part in PARTS if part in of_part]


def _part_of_name(name: str) -> str | None:
    """Return the part that a folder's name means; None if it means none."""
    words = re.sub(r"[\W_]+", " ", name.casefold()).split()
    words = [word for word in words if word not in _WORDS_BESIDE_A_PART]
    return _PART_OF_WORD.get(words[0].removesuffix("set")) if len(words) == 1 else None


def _own_folders(data: Path) -> list[Path]:
    return [path for path in sorted(data.iterdir()) if path.is_dir() and not is_system_folder(path.name)]


def _read_part(data: Path, listing: Listing) -> list[Frame]:
    if data.is_file():
        if data.suffix.lower() not in (".csv", ".tsv", ".txt"):
            raise DataError(data, [Problem("unknown form", "give a folder, or a CSV of path,label[,run]")])
        return list(_frames_in_table(data, listing))
    table = label_tables.find(data, listing.notes)
    if table is None:
        return list(_frames_in_folders(data, listing))
    frames = list(_frames_in_table(table, listing))
    listing.notes += left_out.unlisted(table, [frame.path for frame in frames])
    return frames


def _frames_in_folders(data: Path, listing: Listing) -> Iterator[Frame]:
    folders = _own_folders(data)
    if not listing.classes:
        listing.classes = list(dict.fromkeys(_composed(folder.name) for folder in folders))
    for folder in folders:
        label = _class_number(folder.name, listing)
        if label is None:
            hint = did_you_mean(folder.name, listing.classes)
            listing.problems.append(Problem("unknown class folder", f"{folder}{hint}"))
            continue
        for path in sorted(path for path in folder.rglob("*") if is_frame(path, data)):
            run = path.relative_to(folder).parent.as_posix()
            yield Frame(path, path.relative_to(data).as_posix(), label, None if run == "." else run)
    listing.notes += left_out.beside_frames(data)
    listing.notes += [
        f"{data}: {count} folders are named {name!r}, in different Unicode forms; they are one class"
        for name, count in Counter(_composed(folder.name) for folder in folders).items()
        if count > 1
    ]


def _frames_in_table(table: Path, listing: Listing) -> Iterator[Frame]:
    label_of = _label_reader(listing)
    hidden = []
    for name, label, run, decided in label_tables.read(table):
        path = label_tables.existing_file(table.parent, name)
        if path and path.is_relative_to(table.parent) and in_system_folder(path.relative_to(table.parent)):
            hidden.append(path)
            continue
        number = label_of(label)
        if number is None:
            hint = did_you_mean(str(label), listing.classes)
            listing.problems.append(Problem("unknown label", f"{label!r} of {name} in {table}{hint}"))
        if path is None:
            listing.problems.append(Problem("missing file", f"{name} in {table}"))
        elif number is not None:
            relative = path.relative_to(table.parent) if path.is_relative_to(table.parent) else path
            yield Frame(path, relative.as_posix(), number, run, decided=decided)
    listing.notes += left_out.system_files(table.parent, hidden)


def _label_reader(listing: Listing) -> Callable[[object], int | None]:
    """Return a function from a label to its class number; None for an unknown label.

    A label is a class name or a class number. If nothing names the classes, the labels are the names. A class
    whose name is a number has no other number: in the classes 0, 1, 2 and 5, label 3 is unknown.
    """
    named_by_labels = not listing.classes
    has_numbers = not any(name.isdecimal() for name in listing.classes)

    def number(label: object) -> int | None:
        text = _composed(str(label).strip())
        known = _class_number(text, listing)
        if known is not None:
            return known
        if named_by_labels and text and isinstance(label, str | int) and not isinstance(label, bool):
            listing.classes.append(text)
            return len(listing.classes) - 1
        if not named_by_labels and has_numbers and not isinstance(label, bool) and text.isdecimal():
            return int(text) if int(text) < len(listing.classes) else None
        return None

    return number


def _composed(name: str) -> str:
    """Return a name in the form that most systems write; macOS writes ``ö`` as ``o`` and two dots."""
    return unicodedata.normalize("NFC", name)


def _class_number(name: str, listing: Listing) -> int | None:
    names = [_composed(known) for known in listing.classes]
    return names.index(_composed(name)) if _composed(name) in names else None


def _as_read(name: str) -> str:
    """Return a name without what a person does not see: case, spaces, widths, invisible letters."""
    plain = unicodedata.normalize("NFKC", name).casefold()
    seen = "".join(letter for letter in plain if unicodedata.category(letter) != "Cf")
    return " ".join(seen.split())


def report_similar_classes(listing: Listing) -> None:
    """Add a problem for each group of class names that a person cannot tell apart."""
    similar: dict[str, list[str]] = defaultdict(list)
    for name in listing.classes:
        similar[_as_read(name)].append(name)
    listing.problems += [
        Problem("classes that look alike", f"{', '.join(map(repr, names))}; rename one")
        for names in similar.values()
        if len(names) > 1
    ]


def _report_duplicates(listing: Listing) -> None:
    seen: dict[Path, Frame] = {}
    for frame in listing.frames:
        first = seen.setdefault(frame.path.resolve(), frame)
        if first is not frame:
            listing.problems.append(Problem("listed twice", f"{frame.name} (also {first.name})"))


def report_empty_classes(listing: Listing) -> None:
    """Add a problem for each class without training frames."""
    present = {frame.label for frame in listing.part(None, "train")}
    if listing.frames and not present:
        listing.problems.append(Problem("no training frames", f"there is no 'train' in {listing.source}"))
        return
    for number, name in enumerate(listing.classes):
        if number not in present:
            listing.problems.append(
                Problem("empty class", f"{name}; add the data that has it: --data OLD --data NEW")
            )
