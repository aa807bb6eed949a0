"""The student's file: plain values and the weights of one WeldNet. An fp32 artifact has such weights, too."""

from __future__ import annotations

import io
import pickle
import warnings
from pathlib import Path
from typing import Any

import torch

from inspector.network import metadata
from inspector.network.metadata import ArtifactError, ArtifactFile
from trainer.errors import UsageError
from trainer.network import archives
from trainer.network.weldnet import WeldNet, WeldNetConfig

TRAINING_FRAMES = "training_frames"  # in the metrics of both: content hashes of the frames learnt from
TUNING_FRAMES = "tuning_frames"  # the same of the held-out frames that temperature and FAIL were fitted on
STUDENT_FILE = "student.pt"  # in a run folder, beside the artifact

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
        with warnings.catch_warnings(action="ignore"):  # of an artifact torch says that it is TorchScript
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
    return UsageError(f"{path}: is not a student.pt of this program's trainer; a run writes it")


def read_weights(path: Path) -> tuple[WeldNet, dict[str, Any]]:
    """Read the network of a student or of an fp32 artifact, and its ``classes`` and ``metrics``.

    Raises:
        UsageError: the file is missing, or is neither; or it is an int8 artifact, which has no such weights.
        ArtifactError: the artifact is not safe to open, because others can write it.
    """
    try:
        metadata.extra_file(path, metadata.METADATA_FILE)
    except ArtifactError:
        return read(path)
    file = ArtifactFile.read(path)
    about = file.metadata()
    if about.quantization != "none":
        raise UsageError(f"{path}: an int8 artifact has no weights to start from; {_student_of(path, about)}")
    network = WeldNet(WeldNetConfig(**about.network))
    try:
        module = torch.jit.load(io.BytesIO(file.data))  # type: ignore[no-untyped-call]
        network.load_state_dict(module.network.student.state_dict())
    except (RuntimeError, AttributeError):
        raise not_a_student(path) from None
    with torch.no_grad():
        for tensor in network.head.parameters():
            tensor.mul_(about.temperature)  # by which the compiled network's are divided
    classes = [each.model_dump() for each in about.classes]
    return network.eval(), {"classes": classes, "metrics": about.metrics}


def _student_of(artifact: Path, about: metadata.Metadata) -> str:
    """Name the student of an artifact's run: its file, or how to recognize the run."""
    beside = artifact.with_name(STUDENT_FILE)
    split = about.metrics.get("split_fingerprint")
    try:
        if split is not None and read(beside)[1]["metrics"].get("split_fingerprint") == split:
            return f"give its student, {beside}"
    except (UsageError, KeyError):
        pass
    run = f" and split_fingerprint {str(split)[:12]}… in run.json" if split else ""
    return f"give {STUDENT_FILE} of its run (recipe {about.name}, made before {about.created}{run})"
