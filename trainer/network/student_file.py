"""The student's file: plain values and the weights of one WeldNet."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import torch

from trainer.errors import UsageError
from trainer.network import archives
from trainer.network.weldnet import WeldNet, WeldNetConfig

# The errors of reading values from a file that is not a student
STUDENT_FILE_ERRORS = (OSError, RuntimeError, pickle.UnpicklingError, KeyError, TypeError, ValueError)


def read(path: Path) -> tuple[WeldNet, dict[str, Any]]:
    """Read the network of a ``student.pt``, in evaluation mode, and the file's other values.

    Raises:
        UsageError: the file is missing, or is not a student.
    """
    if path.is_file() and not archives.is_whole(path):
        raise not_a_student(path)  # torch would read it as a bare pickle, or as other weights
    try:
        content = torch.load(path, weights_only=True)
        network = WeldNet(WeldNetConfig(**content["network"]))
        network.load_state_dict(content["weights"])
    except FileNotFoundError:
        raise UsageError(f"{path}: no such file; a run writes it as student.pt") from None
    except STUDENT_FILE_ERRORS:
        raise not_a_student(path) from None
    return network.eval(), content


def not_a_student(path: Path) -> UsageError:
    """Build the error for a file that this trainer did not write as a student."""
    return UsageError(f"{path}: is not a student.pt of this program's trainer")
