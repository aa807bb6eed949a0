"""Files that a listing leaves out: one line for each kind of file, with their number.

Without these lines, the user would believe that every frame is used.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from pathlib import Path

from trainer.data.files import (
    IMAGE_SUFFIXES,
    in_system_folder,
    is_frame,
    is_image,
    is_system_folder,
    is_system_name,
)

# Images of formats that the trainer does not read
_OTHER_IMAGES = frozenset(
    {".webp", ".heic", ".heif", ".avif", ".gif", ".dcm", ".jp2", ".j2k", ".jxl", ".jfif", ".jpe", ".dib"}
    | {".pgm", ".ppm", ".pnm", ".tga", ".raw", ".dng", ".cr2", ".nef", ".arw", ".npy", ".exr", ".hdr"}
)
_TABLE_SUFFIXES = (".csv", ".tsv", ".json", ".xlsx", ".xls", ".ods")


def beside_parts(data: Path, parts: Collection[Path]) -> list[str]:
    """Name the folders, images and label tables that are beside the folders ``parts``, so are not used."""
    names = ", ".join(sorted(folder.name for folder in parts))
    lines, hidden = [], []
    for path in sorted(data.iterdir()):
        if path.is_dir() and is_system_folder(path.name):
            hidden += list(path.rglob("*"))
        elif path.is_file() and is_system_name(path.name):
            hidden.append(path)
        elif path.is_dir() and path not in parts:
            images = sum(is_frame(file, data) for file in path.rglob("*"))
            lines.append(f"{path} is not used ({images} images), because it is beside {names}")
        elif path.suffix.lower() in _TABLE_SUFFIXES or is_image(path):
            lines.append(f"{path} is not used, because it is beside {names}")
    return lines + system_files(data, hidden)


def beside_frames(data: Path) -> list[str]:
    """Name the files of a folder of class folders that are no frames."""
    files = [path for path in data.rglob("*") if path.is_file()]
    own = [path for path in files if not in_system_folder(path.relative_to(data))]
    unread = [path for path in own if path.parent != data and path.suffix.lower() not in IMAGE_SUFFIXES]
    endings = Counter(path.suffix.lower() or "no ending" for path in unread)
    lines = [f"{data}: {count} × {ending}: not read" for ending, count in sorted(endings.items())]
    loose = sum(path.parent == data and path.suffix.lower() in IMAGE_SUFFIXES for path in own)
    if loose:
        lines.append(f"{data}: {loose} images are in no class folder, so they are not used")
    return lines + system_files(data, files)


def unlisted(table: Path, listed: Iterable[Path]) -> list[str]:
    """Name the images beside a label table that it does not list."""
    known = {path.resolve() for path in listed}
    folder = table.parent
    files = [path for path in folder.rglob("*") if path.resolve() not in known]
    count = sum(is_frame(path, folder) for path in files)
    lines = (
        [f"{folder}: {count} images are not used, because {table.name} does not list them"] if count else []
    )
    return lines + other_images(folder, files)


def other_images(data: Path, files: Iterable[Path]) -> list[str]:
    """Count the images of formats that are not read, by ending."""
    endings = Counter(
        path.suffix.lower()
        for path in files
        if path.suffix.lower() in _OTHER_IMAGES
        and path.is_file()
        and not in_system_folder(path.relative_to(data))
    )
    return [f"{data}: {count} × {ending}: not read" for ending, count in sorted(endings.items())]


def system_files(data: Path, files: Iterable[Path]) -> list[str]:
    """Count the hidden and system files among ``files``."""
    found = sorted(path for path in files if path.is_file() and in_system_folder(path.relative_to(data)))
    if not found:
        return []
    example = found[0].relative_to(data).as_posix()
    return [f"{data}: {len(found)} hidden or system files are left out, for instance {example}"]
