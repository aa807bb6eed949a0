"""Initial weights from a student that has learnt other frames: few frames then have less to teach."""

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

SHIPPED = Path(__file__).parent / "weights" / "weldpool.pt"  # what it has learnt: README there
FEW = 300  # training frames: 190 gained from it, 382 did not (docs/measurements/few-frames.md)


@dataclass(frozen=True)
class Start:
    """Where a run's networks start; by default at random.

    ``body`` holds a student's weights and batch-norm statistics by their names, but for the last layer's,
    which has classes of its own; ``sha256`` is of its file.
    """

    body: dict[str, Tensor] = field(default_factory=dict)
    sha256: str | None = None

    def put_into(self, network: nn.Module) -> None:
        """Give a fresh network the student's layers; its last layer stays as it is."""
        if self.body:
            assert isinstance(network, WeldNet)  # noqa: S101 - the recipe admits no other
            network.load_state_dict(network.state_dict() | self.body)


def read(network: Network, frames: int) -> Start:
    """What ``network.start`` names, for so many training frames.

    ``auto`` is the student that comes with the program where that fits and frames are few, and else nothing:
    so a recipe stays one for all of the paper's networks, and for any number of frames.

    Raises:
        UsageError: there is no such student.
        RecipeError: its network has another shape.
    """
    if network.start is None:
        return Start()
    auto = network.start == "auto"
    if auto and frames > FEW:
        log.info("networks start at random: %d frames are enough to learn from", frames)
        return Start()
    path = SHIPPED if auto else Path(network.start)
    other, _ = student_file.read(path)
    theirs, ours = (other.config.stem, other.config.plan), (network.stem, tuple(map(tuple, network.plan)))
    if auto and (network.architecture != "weldnet" or theirs != ours):
        log.info("networks start at random: no student of this shape comes with the program")
        return Start()
    if theirs != ours:
        raise RecipeError(
            f"network.start {path}: its stem and plan are {theirs}, the recipe's {ours}; "
            "set network.stem and network.plan to those, or start from another"
        )
    log.info("networks start from the layers of %s", path)
    body = {name: value for name, value in other.state_dict().items() if not name.startswith("head.")}
    return Start(body, hashlib.sha256(path.read_bytes()).hexdigest())
