"""Files of a data folder: images, and names that other systems leave there (trash, thumbnails, snapshots).

A thumbnail is a small copy of a frame. If a network learnt from it, copies of held-out frames would be in
training.
"""

from __future__ import annotations

from pathlib import Path, PurePath

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff"})
_SYSTEM_NAMES = frozenset(
    {
        "#recycle", "#snapshot", "~snapshot", "network trash folder", "temporary items",  # NAS
        "trashbox", "thevolumesettingsfolder", "thefindbycontentfolder", "aquota.user", "aquota.group",
        "recycler", "recycled", "recycle bin", "system volume information", "found.000",  # Windows
        "thumbs.db", "thumbs.db:encryptable", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini",
        "__macosx", "lost+found", "__pycache__", "icon\r",
    }
)  # fmt: skip
_SYSTEM_FOLDER_PREFIXES = ("@", "$")  # Synology's and QNAP's @eaDir, @Recycle, @tmp; $RECYCLE.BIN


def is_system_folder(name: str) -> bool:
    """Whether a folder of this name is hidden or belongs to a system."""
    return is_system_name(name) or name.startswith(_SYSTEM_FOLDER_PREFIXES)


def is_system_name(name: str) -> bool:
    """Whether a file or folder of this name is hidden or belongs to a system."""
    hidden = name.startswith(".") and name.strip(".") != ""  # '.' and '..' lead somewhere else
    return hidden or name.startswith("~$") or name.lower() in _SYSTEM_NAMES


def in_system_folder(relative: PurePath) -> bool:
    """Whether any part of a file's path below the data folder is hidden or belongs to a system."""
    return is_system_name(relative.name) or any(is_system_folder(part) for part in relative.parts[:-1])


def is_image(path: Path) -> bool:
    """Whether a file has the ending of an image that is read."""
    return path.suffix.lower() in IMAGE_SUFFIXES and path.is_file()


def is_frame(path: Path, data: Path) -> bool:
    """Whether a file below the data folder is an image, and in no hidden or system folder."""
    return is_image(path) and not in_system_folder(path.relative_to(data))
