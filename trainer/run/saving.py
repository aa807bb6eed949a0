"""Files of tensors, written whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch

from trainer.errors import TrainerError


def save(content: dict[str, Any], path: Path) -> None:
    """Save tensors to a temporary file, flush it to the disk, and rename it.

    Raises:
        TrainerError: the disk is full, or the folder is not writable; an older file stays as it is.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with temporary.open("wb") as stream:
            torch.save(content, stream)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except (OSError, RuntimeError) as error:  # torch's zip writer turns a full disk into a RuntimeError
        temporary.unlink(missing_ok=True)
        raise TrainerError(f"{path}: cannot be saved ({' '.join(str(error).split())[:200]})") from None
