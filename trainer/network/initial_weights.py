"""Initial weights from a student that has learnt other frames.

With them few frames are enough to train on, and a network continues from the one that a station uses.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from trainer.errors import RecipeError
from trainer.network import student_file
from trainer.network.weldnet import WeldNet
from trainer.recipe import Network

log = logging.getLogger(__name__)

SHIPPED_STUDENT = Path(__file__).parent / "weights" / "start.pt"  # the README there: how it was trained


@dataclass(frozen=True)
class InitialWeights:
    """The weights that a run's networks start from; empty for random ones.

    ``layers`` has a student's weights and batch-norm statistics by name, without the last layer. ``logits``
    has the last layer's weights and bias for the classes that the run has, too, by their number in the run.
    ``sha256`` is the hash of the student's file. ``learnt`` are the content hashes of the frames that the
    student learnt from; None if its file does not record them.
    """

    layers: dict[str, Tensor] = field(default_factory=dict)
    sha256: str | None = None
    logits: dict[int, tuple[Tensor, Tensor]] = field(default_factory=dict)
    learnt: tuple[str, ...] | None = ()

    def load_into(self, network: nn.Module) -> None:
        """Copy the student's layers into a new network; the logits of new classes stay random."""
        if not self.layers:
            return
        assert isinstance(network, WeldNet)  # noqa: S101 - the recipe admits no other
        network.load_state_dict(network.state_dict() | self.layers)
        with torch.no_grad():
            for label, (weight, bias) in self.logits.items():
                network.head.weight[label] = weight
                network.head.bias[label] = bias


def learnt_frames(network: Network) -> frozenset[str]:
    """Return the content hashes of the frames that the user's student in ``network.start`` learnt from.

    Raises:
        UsageError, ArtifactError: as :func:`read`.
    """
    if network.start in (None, "auto"):
        return frozenset()
    content = student_file.read_weights(Path(network.start))[1]
    return frozenset(content["metrics"].get(student_file.TRAINING_FRAMES) or ())


def read(network: Network, classes: Sequence[str] = ()) -> InitialWeights:
    """Read the initial weights that ``network.start`` names.

    ``auto`` is the student that comes with the program if it fits, and random weights otherwise. So one
    recipe serves all of the paper's networks. Its last layer is not used, because it is of drawn frames.

    Args:
        network: of the recipe.
        classes: names of the run's classes; those that a student of the user's has keep its logits.

    Raises:
        UsageError: there is no such student or fp32 artifact.
        ArtifactError: the artifact is not safe to open.
        RecipeError: its network has another shape.
    """
    if network.start is None:
        return InitialWeights()
    auto = network.start == "auto"
    path = SHIPPED_STUDENT if auto else Path(network.start)
    student, content = student_file.read_weights(path)
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
    layers = {name: value for name, value in student.state_dict().items() if not name.startswith("head.")}
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if auto:
        log.info("networks start from the layers of %s", path)
        return InitialWeights(layers, digest)
    theirs = [each["name"] for each in content["classes"]]
    head = student.head
    logits = {
        label: (head.weight[theirs.index(name)].detach(), head.bias[theirs.index(name)].detach())
        for label, name in enumerate(classes)
        if name in theirs
    }
    new = [name for name in classes if name not in theirs]
    log.info(
        "networks start from %s, with %d of its %d classes%s",
        path,
        len(logits),
        len(theirs),
        f"; new: {', '.join(new)}" if new else "",
    )
    learnt = content["metrics"].get(student_file.TRAINING_FRAMES)
    if learnt is None:
        log.warning(
            "%s does not record the frames that it learnt from, so neither will this run's artifact", path
        )
    return InitialWeights(layers, digest, logits, None if learnt is None else tuple(learnt))
