"""Rules that say which names in a drop folder are intake, and a list of the files that wait there."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

from inspector.errors import FolderError

log = logging.getLogger("weldnet")

# Endings of images, also of formats that are not read: such a file is refused at once, by name.
IMAGE_SUFFIXES: Final = (
    *(".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".dib", ".tif", ".tiff", ".btf", ".dcm", ".dicom"),
    *(".gif", ".webp", ".jp2", ".j2k", ".jxl", ".jls", ".heic", ".heif", ".avif", ".pgm", ".ppm", ".pnm"),
)


# Names under which uploaders, browsers and editors write before they rename.
_TEMPORARY_SUFFIXES: Final = (
    *(".tmp", "_tmp", ".temp", ".part", ".partial", ".filepart", ".crdownload", ".download", ".opdownload"),
    *(".upload", ".uploading", ".inprogress", ".in_progress", ".in.progress", ".incomplete", ".unfinished"),
    *(".writing", ".copying", ".pending", ".downloading", ".swp", ".swx", ".crswap", ".lock", ".!ut", ".!qb"),
    *(".!sync", ".bc!", ".aria2", ".gstmp", ".dtapart", ".fdmdownload", ".xltd", ".$$$", "~"),
)
_TEMPORARY_PREFIXES: Final = (".", "~$", "~syncthing~")  # hidden, or of an open document
# Folders of NAS boxes, Windows and file systems: recycle bins, thumbnails, snapshots. They hold what a person
# deletes over a share, and no picture by a camera.
_SYSTEM_FOLDERS: Final = frozenset(
    {
        *("#recycle", "#snapshot", "~snapshot", "recycler", "recycled", "recycle bin", "lost+found"),
        *("system volume information", "network trash folder", "temporary items", "__macosx"),
        *("thevolumesettingsfolder", "trashbox", "_nas_recycle_raid", "dfsrprivate", "_gsdata_", "found.000"),
    }
)
_SYSTEM_FOLDER_PREFIXES: Final = ("@", "$")  # @eaDir, @Recycle, @tmp; $RECYCLE.BIN


def has_intake_name(name: str, ignore: Sequence[str] = ()) -> bool:
    """Whether a name is neither hidden nor temporary nor one to ignore.

    Args:
        name: relative to the drop folder; a sub-folder's own name has been checked before.
        ignore: shell patterns for a file's or a folder's name, in either case.
    """
    last = name.rsplit("/", 1)[-1].lower()
    if last.startswith(_TEMPORARY_PREFIXES) or last.endswith(_TEMPORARY_SUFFIXES):
        return False
    return not any(fnmatchcase(part, one.lower()) for one in ignore for part in name.lower().split("/"))


def is_image_name(name: str) -> bool:
    """Whether a name ends like an image; a folder with such a name is intake too, and is quarantined."""
    return name.lower().endswith(IMAGE_SUFFIXES)


def is_subfolder(item: os.DirEntry[str]) -> bool:
    """Whether this is a camera's folder, if sub-folders are part of the drop folder; a link to one is not."""
    name = item.name.lower()
    is_system = name in _SYSTEM_FOLDERS or name.startswith(_SYSTEM_FOLDER_PREFIXES)
    return (
        has_intake_name(name)
        and not is_system
        and not is_image_name(name)
        and item.is_dir(follow_symlinks=False)
    )


def subfolders(folder: Path) -> list[Path]:
    """List the cameras' folders in a drop folder.

    Raises:
        FolderError: it cannot be listed.
    """
    try:
        with os.scandir(folder) as items:
            return [Path(item.path) for item in items if is_subfolder(item)]
    except OSError as error:
        raise FolderError(
            f"drop_folder {folder}: {error.strerror}; create it, or correct the setting"
        ) from None


def waiting_files(folder: Path, *, subfolders: bool = False, ignore: Sequence[str] = ()) -> Iterator[Path]:
    """List the files that wait in a drop folder, without locking it.

    Raises:
        FolderError: it cannot be listed.
    """
    try:
        with os.scandir(folder) as items:
            for item in items:
                if not has_intake_name(item.name, ignore):
                    continue
                if subfolders and is_subfolder(item):
                    yield from _waiting_in(folder / item.name, ignore)
                elif is_image_name(item.name) or not item.is_dir(follow_symlinks=False):
                    yield Path(item.path)
    except OSError as error:
        raise FolderError(
            f"drop_folder {folder}: {error.strerror}; create it, or correct the setting"
        ) from None


def _waiting_in(subfolder: Path, ignore: Sequence[str]) -> list[Path]:
    """List the files of one camera, which may close or remove its folder, but not hide those of others."""
    try:
        return list(waiting_files(subfolder, ignore=ignore))
    except FolderError:
        if os.path.lexists(subfolder):
            log.warning("%s cannot be listed, so its files are not counted; chmod g+rwx it", subfolder)
        return []
