"""WeldNets for the benchmarks of speed: a trained student or random weights, and their artifacts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from inspector.network.metadata import WeldClass
from trainer.artifact.artifact import compile_artifact
from trainer.artifact.student import Student
from trainer.network.weldnet import WeldNet, WeldNetConfig


def weldnet(student: Path | None, *, own_size: bool = False) -> WeldNet:
    """The network of a run's ``student.pt`` at the paper's frame size; random weights without one.

    Time and size do not depend on the weights, and WeldNet takes frames of any size.

    Args:
        student: of a run; None: the paper's network with random weights.
        own_size: keep the size that the student was trained at.
    """
    if student is None:
        torch.manual_seed(0)
        return WeldNet().eval()
    trained, paper = Student.load(student).network, WeldNetConfig()
    if own_size:
        return trained.eval()
    network = WeldNet(replace(trained.config, height=paper.height, width=paper.width))
    network.load_state_dict(trained.state_dict())
    return network.eval()


def write_artifact(network: WeldNet, out: Path, scheme: str, golden_image: NDArray[np.uint8]) -> None:
    """Compile a network into an artifact that says nothing of its training."""
    compile_artifact(
        network,
        out=out,
        scheme=scheme,
        classes=[WeldClass(name=f"class {n}", role="defect") for n in range(network.config.classes)],
        golden_images=[golden_image],
        metrics={},
        recipe={},
        name="benchmark",
        version="0",
    )
