"""Paths of ``sql/`` and ``deploy/``, in an installed wheel and in a checkout."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path


def folder(name: str) -> Path:
    """Return the path of a top-level data folder (``sql`` or ``deploy``).

    The wheel carries it inside the package (pyproject's force-include); an editable install and a plain
    checkout have it beside the package.
    """
    package = Path(str(files("inspector")))
    installed = package / "_data" / name
    return installed if installed.is_dir() else package.parent / name
