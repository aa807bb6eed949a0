"""The shape of ``results.json``: every network's metrics, and the values that were fitted to the student."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, TypedDict

from inspector.network.metadata import Thresholds
from trainer.evaluation.calibration import Calibration
from trainer.evaluation.metrics import ModelMetrics
from trainer.evaluation.promises import Promise
from trainer.evaluation.thresholds import TradeOff
from trainer.evaluation.training_verdict import Verdict
from trainer.run.identity import Identity


class ArtifactSummary(TypedDict):
    """The compiled file."""

    file: str  # its name in the run folder
    scheme: str
    bytes: int
    agreement_with_student: float  # share of held-out frames with the same top class


@dataclass(frozen=True)
class StudentFit:
    """The values that were fitted on held-out frames to the compiled network of the recipe's scheme."""

    calibration: Calibration
    thresholds: Thresholds
    trade: list[TradeOff]  # for each PASS threshold; empty if there were too few frames
    promise: Promise  # about escapes at the thresholds
    reported: dict[str, dict[str, Any]]  # overkill and reviews of good frames that tuned nothing
    tuned_on: int  # held-out frames
    novelty: dict[str, Any]  # the expected share of known frames that count as novel
    verdict: Verdict  # on the compiled network


@dataclass
class Results:
    """The results of a run. ``models`` has each teacher, ensemble and baseline, then student and artifact."""

    identity: Identity
    parameters: int  # of one network
    models: dict[str, ModelMetrics]
    ensemble_verdict: Verdict
    restarts: Mapping[str, Sequence[Mapping[str, object]]] = field(default_factory=dict)  # by network, if any
    student: StudentFit | None = None  # None if the recipe trains no student
    artifact: ArtifactSummary | None = None
    test: dict[str, Any] | None = None  # the artifact on the part ``test``; None if the data has none

    @property
    def verdict(self) -> Verdict:
        """The verdict on the compiled student; on the ensemble if the recipe trains no student."""
        return self.student.verdict if self.student else self.ensemble_verdict

    def as_json(self) -> dict[str, Any]:
        """Return the fields of ``results.json`` in their order; without a student, none of its fields."""
        content = asdict(self.identity) | {"parameters": self.parameters, "models": self.models}
        if self.student:
            trade = [asdict(point) for point in self.student.trade]
            content["calibration"] = asdict(self.student.calibration)
            content["thresholds"] = self.student.thresholds.model_dump() | {
                "trade": trade,
                "tuned_on": self.student.tuned_on,
                "promise": self.student.promise.as_json(),
                "escapes": self.student.promise.escapes(),
                **self.student.reported,
            }
            content["novelty"] = self.student.novelty
        if self.artifact:
            content["artifact"] = self.artifact
        if self.test:
            content["test"] = self.test
        content["restarts"] = {name: list(each) for name, each in self.restarts.items() if each}
        return content | self.verdict.as_json()
