"""Initial weights from a student that has learnt other frames: few frames then have less to teach."""

from __future__ import annotations

import hashlib
from pathlib import Path

from torch import Tensor, nn

from trainer.errors import RecipeError
from trainer.settings import Network
from trainer.student import Student
from trainer.weldnet import WeldNet

# Weights and batch-norm statistics by their names; not the last layer's, which has classes of its own.
Body = dict[str, Tensor]


def body(network: Network) -> Body:
    """What ``network.start`` gives; empty where networks start at random.

    Raises:
        UsageError: there is no such student.
        RecipeError: its network has another shape.
    """
    if network.start is None:
        return {}
    other = Student.load(Path(network.start)).network
    theirs, ours = (other.config.stem, other.config.plan), (network.stem, tuple(map(tuple, network.plan)))
    if theirs != ours:
        raise RecipeError(
            f"network.start {network.start}: its stem and plan are {theirs}, the recipe's {ours}; "
            "set network.stem and network.plan to those, or start from another"
        )
    return {name: value for name, value in other.state_dict().items() if not name.startswith("head.")}


def fingerprint(network: Network) -> str | None:
    """SHA-256 of the file; None where networks start at random."""
    return None if network.start is None else hashlib.sha256(Path(network.start).read_bytes()).hexdigest()


def start_from(network: nn.Module, body: Body) -> None:
    """Put the body into a fresh network; its last layer stays as it is."""
    if body:
        assert isinstance(network, WeldNet)  # noqa: S101 - the recipe admits no other
        network.load_state_dict(network.state_dict() | body)
