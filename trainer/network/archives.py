"""Files of tensors as torch writes them: zip archives, with a checksum for each entry."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import IO


def is_whole(file: Path | IO[bytes]) -> bool:
    """Whether a file is an archive of which every entry has its checksum; torch does not look at them.

    A disk or a power cut may change bytes in the middle of a file. They would load as other weights.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            return archive.testzip() is None
    except (OSError, ValueError, EOFError, NotImplementedError, zipfile.BadZipFile, zlib.error):
        return False
