"""The student's file: everything that ``weld-train compile`` needs, without run folder or data set."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, get_args

from torch import Tensor

from inspector.network.metadata import Metadata, Thresholds, WeldClass
from trainer.artifact.artifact import compile_artifact
from trainer.artifact.fitting import SchemeFit
from trainer.evaluation.novelty import Novelty
from trainer.evaluation.training_verdict import Verdict
from trainer.int8.ranges import Ranges
from trainer.int8.schemes import Scheme
from trainer.network import student_file
from trainer.network.weldnet import WeldNet
from trainer.recipe import Recipe
from trainer.run.saving import save

log = logging.getLogger(__name__)

_PLAIN_FIELDS = ("golden", "metrics", "recipe", "git_commit", "ranges")


@dataclass(frozen=True)
class Fit:
    """The values of an artifact that were fitted to its own answers on held-out frames.

    ``calibrated`` and ``thresholds.chosen`` say whether ``temperature`` and ``thresholds`` were fitted.
    """

    temperature: float = 1.0
    calibrated: bool = False
    thresholds: Thresholds = field(default_factory=Thresholds)
    novelty: Novelty | None = None
    metrics: dict[str, Any] = field(default_factory=dict)
    agreement: tuple[int, int] | None = None  # of n held-out frames, those with the fp32 student's top class

    @classmethod
    def of(cls, fitted: SchemeFit, verdict: Verdict) -> Fit:
        """Return the part of a fit that an artifact carries, with the verdict on its network."""
        metrics = fitted.metrics
        return cls(
            fitted.calibration.temperature,
            fitted.calibration.calibrated,
            fitted.thresholds,
            fitted.novelty,
            {
                "accuracy": metrics["accuracy"],
                "accuracy_interval": metrics["accuracy_interval"],
                "accuracy_interval_runs": metrics["accuracy_interval_runs"],
                "macro_f1": metrics["macro_f1"],
                "balanced_accuracy": metrics["balanced_accuracy"],
                "per_class": metrics["per_class"],
                "by_run": metrics["by_run"],
                "tuned_on": int(fitted.tuning.sum()),
                "calibration_error": metrics["calibration_error"],
                "promise": fitted.choice.promise.as_json(),
                "escapes": fitted.choice.promise.escapes(),
                **fitted.reported,
                "novelty": fitted.novelty_threshold.metadata,
                "agreement_with_fp32": fitted.same_top_class / metrics["n"],
                **verdict.as_json(),
            },
            (fitted.same_top_class, metrics["n"]),
        )

    def as_values(self) -> dict[str, Any]:
        """Return plain values and tensors for the student's file."""
        return {
            "temperature": self.temperature,
            "calibrated": self.calibrated,
            "thresholds": self.thresholds.model_dump(),
            "novelty": self.novelty.state_dict() if self.novelty else None,
            "metrics": self.metrics,
            "agreement": self.agreement,
        }

    @classmethod
    def from_values(cls, values: Mapping[str, Any], features: int) -> Fit:
        """Read a fit from a student's file, for a network with so many features."""
        novelty = None
        if values["novelty"] is not None:
            novelty = Novelty(features)
            novelty.load_state_dict(values["novelty"])
        return cls(
            values["temperature"],
            values["calibrated"],
            Thresholds(**values["thresholds"]),
            novelty,
            values["metrics"],
            values["agreement"],
        )


@dataclass(frozen=True)
class Student:
    """A trained network, with the content of its artifact's metadata.

    ``golden`` are raw training frames uint8[h, w] with which the artifact checks itself. ``metrics`` are
    those of the run, and each scheme's fit has its own beside them.
    """

    network: WeldNet
    classes: list[WeldClass]
    golden: list[Tensor]
    metrics: dict[str, Any]
    recipe: dict[str, Any]
    git_commit: str | None
    ranges: Ranges | None = None  # of its maps on training frames, for static int8
    fits: Mapping[str, Fit] = field(default_factory=dict)  # by scheme

    def save(self, path: Path) -> None:
        """Write the file, whole or not at all."""
        content = {
            "format": 4,
            "network": asdict(self.network.config),
            "weights": self.network.state_dict(),
            "classes": [c.model_dump() for c in self.classes],
            "fits": {scheme: fit.as_values() for scheme, fit in self.fits.items()},
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
        fit = self._fit(scheme)
        return compile_artifact(
            self.network,
            out=out,
            scheme=scheme,
            classes=self.classes,
            golden_images=[frame.numpy() for frame in self.golden],
            metrics=self.metrics | fit.metrics,
            recipe=self.recipe,
            name=recipe.name,
            version=recipe.artifact.version,
            bit_depth=recipe.data.bit_depth,
            git_commit=self.git_commit,
            thresholds=fit.thresholds,
            temperature=fit.temperature,
            calibrated=fit.calibrated,
            ranges=self.ranges,
            novelty=fit.novelty,
            agreement=fit.agreement,
        )

    def _fit(self, scheme: str) -> Fit:
        if scheme in self.fits or not self.fits:
            return self.fits.get(scheme, Fit())
        log.warning(
            "the student was trained on a machine that cannot compute the scheme %s: temperature, thresholds "
            "and novelty are those of its fp32 answers; train on an x86-64 machine to fit this scheme's",
            scheme,
        )
        return self.fits["none"]

    @classmethod
    def load(cls, path: Path) -> Student:
        """Read the file; one of an older version has the fp32 student's fit for every scheme.

        Raises:
            UsageError: the file is missing, or is not a student.
        """
        network, content = student_file.read(path)
        features = network.head.in_features
        try:
            if "fits" in content:
                fits = {scheme: Fit.from_values(each, features) for scheme, each in content["fits"].items()}
            else:
                fits = dict.fromkeys(
                    get_args(Scheme), Fit.from_values(content | {"metrics": {}, "agreement": None}, features)
                )
            return cls(
                network,
                [WeldClass(**c) for c in content["classes"]],
                fits=fits,
                **{name: content[name] for name in _PLAIN_FIELDS},
            )
        except student_file.STUDENT_FILE_ERRORS:
            raise student_file.not_a_student(path) from None
