"""The values that are fitted to a trained student on frames, for each scheme's compiled network.

The station runs the compiled network, and its answers differ a little from the student's. So temperature,
thresholds, novelty and the figures of accuracy are those of the compiled answers: the network is compiled
first, once for each scheme, and fitted afterwards. Then the student's file compiles to any scheme without
frames.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

import torch
from torch import Tensor

from inspector.network.metadata import Thresholds, WeldClass
from trainer.data.frames import FrameSet
from trainer.data.resizing import prepare
from trainer.evaluation.calibration import Calibration, at_temperature, calibrate
from trainer.evaluation.metrics import ModelMetrics, evaluate
from trainer.evaluation.novelty import Novelty, NoveltyThreshold, choose_threshold, fit
from trainer.evaluation.thresholds import Choice, choose_thresholds
from trainer.evaluation.training_verdict import Verdict, judge
from trainer.evaluation.verdicts import station_verdicts
from trainer.int8 import ranges as map_ranges
from trainer.int8.ranges import CALIBRATION_FRAMES, Ranges
from trainer.int8.schemes import Compiled, Scheme, compile_network, same_top_class
from trainer.network.weldnet import WeldNet
from trainer.recipe import Thresholds as Wishes

log = logging.getLogger(__name__)

_NOVELTY_FRAMES = 2000  # at most, for the novelty's covariance of 512 features: some 40 s


@dataclass(frozen=True)
class SchemeAnswers:
    """The answers of one scheme's network to n frames, and the novelty of its features."""

    logits: Tensor  # float32[n, C]
    pooled: Tensor  # float32[n, F]
    novelty: Novelty
    same_top_class: int  # frames on which it agrees with the fp32 student, or nearly


@dataclass(frozen=True)
class SchemeFit:
    """The values that were fitted to one scheme's answers to held-out frames."""

    calibration: Calibration
    choice: Choice  # of thresholds; its ``thresholds`` have the novelty threshold, too
    novelty: Novelty
    novelty_threshold: NoveltyThreshold
    metrics: ModelMetrics  # at the fitted temperature
    same_top_class: int  # frames of ``metrics["n"]`` on which it agrees with the fp32 student, or nearly
    review: float  # share of the held-out frames that are REVIEW at the thresholds

    @property
    def thresholds(self) -> Thresholds:
        """The thresholds for the artifact."""
        return self.choice.thresholds.model_copy(update={"novelty": self.novelty_threshold.value})

    def verdict(
        self, linear: ModelMetrics, classes: Sequence[WeldClass], train: FrameSet, wishes: Wishes
    ) -> Verdict:
        """Judge the compiled network against the linear model on the same held-out frames."""
        trained = train.counts(len(classes))
        return judge(
            self.metrics,
            linear,
            classes,
            trained,
            wishes,
            review=self.review,
            escapes=self.choice.escapes,
        )


def fit_ranges(student: WeldNet, train: Tensor) -> Ranges:
    """The ranges of a student's maps on training frames, uint8[N, 1, h, w] of any size."""
    return map_ranges.calibrate(student, prepared(student, _spread(train, CALIBRATION_FRAMES)))


def fit_schemes(
    student: WeldNet,
    ranges: Ranges,
    train: Tensor,
    held_out: FrameSet,
    *,
    classes: Sequence[WeldClass],
    wishes: Wishes,
) -> dict[str, SchemeFit]:
    """Compile the student for each scheme and fit the compiled network; by scheme.

    A scheme that this processor cannot compute is left out, with a warning.

    Args:
        student: in evaluation mode.
        ranges: of its maps.
        train: uint8[N, 1, h, w] of any size, N ≥ 2; novelty is the distance from them.
        held_out: prepared frames.
        classes: with their roles.
        wishes: what the thresholds are chosen for.
    """
    fits: dict[str, SchemeFit] = {}
    for scheme, answered in scheme_answers(student, ranges, train, held_out.images).items():
        answers, novelty = answered.logits.softmax(dim=1), answered.novelty
        calibration = calibrate(answers, held_out.labels, held_out.runs)
        probabilities = at_temperature(answers, calibration.temperature)
        choice = choose_thresholds(
            probabilities, held_out.labels, classes, held_out.runs, **wishes.model_dump()
        )
        distances = torch.tensor([novelty(frame) for frame in answered.pooled])
        novel_from = choose_threshold(distances)
        thresholds = choice.thresholds.model_copy(update={"novelty": novel_from.value})
        passed, failed, _ = station_verdicts(probabilities, distances, classes, thresholds)
        fits[scheme] = SchemeFit(
            calibration,
            choice,
            novelty,
            novel_from,
            evaluate(probabilities, held_out.labels, [c.name for c in classes], held_out.runs),
            answered.same_top_class,
            (~passed & ~failed).double().mean().item(),
        )
    return fits


def scheme_answers(
    student: WeldNet, ranges: Ranges, train: Tensor, frames: Tensor
) -> dict[str, SchemeAnswers]:
    """Compile the student for each scheme, and return its answers to prepared frames; by scheme.

    A scheme that this processor cannot compute is left out, with a warning. ``train`` is uint8[N, 1, h, w]
    of any size, N ≥ 2; novelty is the distance from them.
    """
    known = prepared(student, _spread(train, _NOVELTY_FRAMES))
    exact = compiled_answers(compile_network(student, "none"), frames)[0]
    each: dict[str, SchemeAnswers] = {}
    for scheme in get_args(Scheme):
        try:
            network = compile_network(student, scheme, ranges)
            logits, pooled = compiled_answers(network, frames)
            novelty = fit(compiled_answers(network, known)[1])
        except (RuntimeError, AttributeError) as error:  # this processor lacks an operator or a primitive
            log.warning("scheme %s is not fitted: this machine cannot compute it (%s)", scheme, error)
            continue
        each[scheme] = SchemeAnswers(logits, pooled, novelty, int(same_top_class(exact, logits).sum()))
    return each


@torch.inference_mode()
def compiled_answers(network: Compiled, frames: Tensor) -> tuple[Tensor, Tensor]:
    """Logits ``[N, C]`` and pooled features ``[N, F]`` of prepared frames ``uint8[N, 1, H, W]``."""
    answers = [network(batch)[1:] for batch in torch.split(frames, network.at_once)]
    pooled, logits = (torch.cat(each) for each in zip(*answers, strict=True))
    return logits, pooled


def prepared(student: WeldNet, frames: Tensor) -> Tensor:
    """Frames uint8[N, 1, h, w] at a student's size."""
    config = student.config
    return torch.stack([prepare(frame, config.height, config.width) for frame in frames])


def _spread(frames: Tensor, maximum: int) -> Tensor:
    """At most this many frames, evenly from first to last, because they are sorted by class and run."""
    if len(frames) <= maximum:
        return frames
    return frames[torch.linspace(0, len(frames) - 1, maximum).long()]
