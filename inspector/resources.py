"""The installed program: its version, and paths of ``sql/`` and ``deploy/`` in a wheel and in a checkout."""

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


def version() -> str:
    """Return the version of the installed package; a copy that was not installed has none."""
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415 - for --help it takes too long

    try:
        return version("weldnet-station")
    except PackageNotFoundError:
        return "without a version"
