"""Places of folders and files: none may be inside a folder of the station, or be reached through one."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from itertools import combinations
from pathlib import Path

_MAX_LINKS = 40  # on one path, as for the kernel


def misplaced(folders: Mapping[str, Path], files: Mapping[str, Path]) -> Iterator[str]:
    """Yield a line for each folder that is inside another, and for each file that is in one.

    Args:
        folders: the station's, by setting.
        files: what is no image, by what a message calls it.
    """
    real = {name: Path(os.path.realpath(folder)) for name, folder in folders.items()}
    for name, other_name in combinations(folders, 2):
        if real[name] == real[other_name]:
            yield f"'{name}' and '{other_name}' are the same folder ({real[name]}); give each its own"
    for name, folder in folders.items():
        for other_name, other in real.items():
            if real[name] != other and any(place.is_relative_to(other) for place in _way(folder)):
                yield f"'{name}' must not be inside {other_name} ({other}); give it its own folder"
    for name, file in files.items():
        for folder_name, folder in real.items():
            if any(place.is_relative_to(folder) for place in _way(file)):
                yield f"{name} must not be inside {folder_name} ({folder}); move {file.name} out of it"


def _way(path: Path) -> Iterator[Path]:
    """Yield every folder, link and file that a path leads through: a link among them may be moved, too."""
    parts, here, links = list(path.absolute().parts), Path(), 0
    while parts:
        part = parts.pop(0)
        here = here.parent if part == ".." else here / part
        yield here
        if links < _MAX_LINKS and here.is_symlink():
            links += 1
            parts = [*here.readlink().parts, *parts]  # an absolute target begins at the root
            here = here.parent
