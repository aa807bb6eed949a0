"""systemd's credentials: files of secrets that only the service can read (``LoadCredential=``)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from inspector.errors import SettingsError

_FOLDER_VARIABLE: Final = "CREDENTIALS_DIRECTORY"


def all_of_prefix(prefix: str) -> list[tuple[str, str, str]]:
    """Return key, value and source of each credential ``<prefix><key>``; the others belong to other programs.

    Raises:
        SettingsError: a credential is not text.
    """
    found, folder = [], _folder()
    for file in sorted(folder.iterdir()) if folder else ():
        key = file.name.lower().removeprefix(prefix.lower())
        if key != file.name.lower():
            found.append((key, _text(file), f"credential {file.name}"))
    return found


def by_name(name: str) -> str | None:
    """Return the text of a credential; None if there is none of this name.

    Raises:
        SettingsError: it is not text.
    """
    folder = _folder()
    return _text(folder / name) if folder and (folder / name).exists() else None


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"credential {file.name}: cannot be read: {type(error).__name__}") from None


def _folder() -> Path | None:
    folder = os.environ.get(_FOLDER_VARIABLE)
    return Path(folder) if folder and Path(folder).is_dir() else None
