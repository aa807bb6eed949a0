"""Initial weights from a student that has learnt other frames, so that few frames are enough to train on."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor, nn

from trainer.errors import RecipeError
from trainer.network import student_file
from trainer.network.weldnet import WeldNet
from trainer.recipe import Network

log = logging.getLogger(__name__)

SHIPPED_STUDENT = Path(__file__).parent / "weights" / "weldpool.pt"  # the README there: how it was trained
MAX_FRAMES_FOR_AUTO = 300  # of training: 190 gained from it, 382 did not (docs/measurements/few-frames.md)


@dataclass(frozen=True)
class InitialWeights:
    """The weights that a run's networks start from; empty for random ones.

    ``layers`` has a student's weights and batch-norm statistics by name, without the last layer, which
    belongs to the student's own classes. ``sha256`` is the hash of the student's file.
    """

    layers: dict[str, Tensor] = field(default_factory=dict)
    sha256: str | None = None

    def load_into(self, network: nn.Module) -> None:
        """Copy the student's layers into a new network; its last layer stays random."""
        if self.layers:
            assert isinstance(network, WeldNet)  # noqa: S101 - the recipe admits no other
            network.load_state_dict(network.state_dict() | self.layers)


def read(network: Network, frames: int) -> InitialWeights:
    """Read the initial weights that ``network.start`` names, for this number of training frames.

    ``auto`` is the student that comes with the program if it fits and frames are few, and random weights
    otherwise. So one recipe serves all of the paper's networks and any number of frames.

    Raises:
        UsageError: there is no such student.
        RecipeError: its network has another shape.
    """
    if network.start is None:
        return InitialWeights()
    auto = network.start == "auto"
    if auto and frames > MAX_FRAMES_FOR_AUTO:
        log.info("networks start at random: %d frames are enough to learn from", frames)
        return InitialWeights()
    path = SHIPPED_STUDENT if auto else Path(network.start)
    student, _ = student_file.read(path)
    given, wanted = (
        (student.config.stem, student.config.plan),
        (network.stem, tuple(map(tuple, network.plan))),
    )
    if auto and (network.architecture != "weldnet" or given != wanted):
        log.info("networks start at random: no student of this shape comes with the program")
        return InitialWeights()
    if given != wanted:
        raise RecipeError(
            f"network.start {path}: its stem and plan are {given}, the recipe's {wanted}; "
            "set network.stem and network.plan to those, or choose another student"
        )
    log.info("networks start from the layers of %s", path)
    layers = {name: value for name, value in student.state_dict().items() if not name.startswith("head.")}
    return InitialWeights(layers, hashlib.sha256(path.read_bytes()).hexdigest())
