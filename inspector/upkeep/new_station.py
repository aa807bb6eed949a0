"""A new station: a folder with commented settings, a network, folders and the schema, ready to run."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Final

from inspector import resources
from inspector.errors import FolderError
from inspector.network import artifact as artifacts
from inspector.network.metadata import ArtifactFile

DEMONSTRATION: Final = resources.folder("deploy") / "demo" / "weldnet-synthetic.pt"
EXAMPLE: Final = resources.folder("deploy") / "config.example.yaml"

_FOLDERS: Final = ("drop", "archive", "quarantine")  # as in the example settings
_EXAMPLES_NAME: Final = "station: cell-3\n"


def make(folder: Path, artifact: Path | None) -> Path:
    """Make the folder of a station, without its database; the artifact is proved before anything is written.

    Args:
        folder: it must be missing or empty; its name becomes the name of the station.
        artifact: the network, which is copied; None: the demonstration's.

    Returns:
        The settings file.

    Raises:
        FolderError: the folder holds something, or cannot be written.
        ArtifactError: the artifact does not work on this machine, or its trainer says not to deploy it.
    """
    _require_nothing_there(folder)
    # The demonstration's network is part of this program: who can write it can change the program, too.
    network = ArtifactFile.read(artifact or DEMONSTRATION, others_may_write=None if artifact else True)
    artifacts.open_file(network, accept_unfit=False)
    config = folder / "config.yaml"
    try:
        for name in ("", *_FOLDERS):
            (folder / name).mkdir(mode=0o755, parents=True, exist_ok=True)
        _write(folder / "weldnet.pt", network.data)
        _write(config, _settings(folder).encode())
    except OSError as error:
        raise FolderError(f"{error.filename or folder}: {error.strerror}; choose another folder") from None
    return config


def _require_nothing_there(folder: Path) -> None:
    try:
        found = sorted(path.name for path in folder.iterdir())
    except FileNotFoundError:
        return
    except OSError as error:
        raise FolderError(f"{folder}: {error.strerror}; choose another folder") from None
    if "config.yaml" in found:
        raise FolderError(f"{folder} is a station already, and stays as it is; choose another folder")
    if found:
        raise FolderError(f"{folder} is not empty (it holds {found[0]}); choose a new or an empty folder")


def _settings(folder: Path) -> str:
    """Return the text of the example settings with the name of this station."""
    name = re.sub(r"[^\w.-]", "-", folder.resolve().name)[:64] or "station"
    text = EXAMPLE.read_text(encoding="utf-8")
    text = text.replace(_EXAMPLES_NAME, f"station: {json.dumps(name, ensure_ascii=False)}\n")
    return text.replace("Copy this file, change what differs, and check it:", "Check a change with")


def _write(path: Path, content: bytes) -> None:
    """Write a new file that only this user may change."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644), "wb") as stream:
        stream.write(content)
