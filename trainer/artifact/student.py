"""The student's file: everything that ``weld-train compile`` needs, without run folder or data set."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from inspector.network.metadata import Metadata, Thresholds, WeldClass
from trainer.artifact.artifact import compile_artifact
from trainer.evaluation.novelty import Novelty
from trainer.int8.ranges import Ranges
from trainer.network import student_file
from trainer.network.weldnet import WeldNet
from trainer.recipe import Recipe
from trainer.run.saving import save

_PLAIN_FIELDS = ("golden", "metrics", "recipe", "git_commit", "temperature", "calibrated", "ranges")


@dataclass(frozen=True)
class Student:
    """A trained network, with the content of its artifact's metadata.

    ``golden`` are raw training frames uint8[h, w] with which the artifact checks itself. ``calibrated`` and
    ``thresholds.chosen`` say whether ``temperature`` and ``thresholds`` were fitted on held-out frames.
    """

    network: WeldNet
    classes: list[WeldClass]
    golden: list[Tensor]
    metrics: dict[str, Any]
    recipe: dict[str, Any]
    git_commit: str | None
    temperature: float = 1.0
    calibrated: bool = False
    thresholds: Thresholds = field(default_factory=Thresholds)
    ranges: Ranges | None = None  # of its maps on training frames, for static int8
    novelty: Novelty | None = None  # fitted on the training frames' pooled features

    def save(self, path: Path) -> None:
        """Write the file, whole or not at all."""
        content = {
            "format": 3,
            "network": asdict(self.network.config),
            "weights": self.network.state_dict(),
            "classes": [c.model_dump() for c in self.classes],
            "thresholds": self.thresholds.model_dump(),
            "novelty": self.novelty.state_dict() if self.novelty else None,
            **{name: getattr(self, name) for name in _PLAIN_FIELDS},
        }
        save(content, path)

    def compile(self, scheme: str, out: Path) -> Metadata:
        """Write the artifact, with the student's metrics and recipe.

        Raises:
            ArtifactError: see :func:`trainer.artifact.artifact.compile_artifact`.
            RecipeError: the student was trained by a version with other recipe keys.
        """
        recipe = Recipe.from_values(
            self.recipe,
            "the student is from another version: compile it with that version, or train it again",
        )
        return compile_artifact(
            self.network,
            out=out,
            scheme=scheme,
            classes=self.classes,
            golden_images=[frame.numpy() for frame in self.golden],
            metrics=self.metrics,
            recipe=self.recipe,
            name=recipe.name,
            version=recipe.artifact.version,
            bit_depth=recipe.data.bit_depth,
            git_commit=self.git_commit,
            thresholds=self.thresholds,
            temperature=self.temperature,
            calibrated=self.calibrated,
            ranges=self.ranges,
            novelty=self.novelty,
        )

    @classmethod
    def load(cls, path: Path) -> Student:
        """Read the file.

        Raises:
            UsageError: the file is missing, or is not a student.
        """
        network, content = student_file.read(path)
        try:
            return cls(
                network,
                [WeldClass(**c) for c in content["classes"]],
                thresholds=Thresholds(**content["thresholds"]),
                novelty=_novelty(network, content["novelty"]),
                **{name: content[name] for name in _PLAIN_FIELDS},
            )
        except student_file.STUDENT_FILE_ERRORS:
            raise student_file.not_a_student(path) from None


def _novelty(network: WeldNet, state: dict[str, Tensor] | None) -> Novelty | None:
    if state is None:
        return None
    novelty = Novelty(network.head.in_features)
    novelty.load_state_dict(state)
    return novelty
