"""The values that are fitted to a trained student on frames, for each scheme's compiled network.

The station runs the compiled network, and its answers differ a little from the student's. So temperature,
thresholds, novelty and the figures of accuracy are those of the compiled answers: the network is compiled
first, once for each scheme, and fitted afterwards. Then the student's file compiles to any scheme without
frames.

No figure is of frames that fitted it (:mod:`trainer.evaluation.tuning`). Accuracy is of all held-out frames,
because nothing that is fitted to them changes a top class.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, get_args

import torch
from torch import Tensor

from inspector.network.metadata import Thresholds, WeldClass
from trainer.data.frames import FrameSet
from trainer.data.resizing import prepare
from trainer.evaluation.calibration import Calibration, at_temperature, calibrate
from trainer.evaluation.metrics import ModelMetrics, calibration_error, evaluate
from trainer.evaluation.novelty import Novelty, NoveltyThreshold, choose_threshold, fit
from trainer.evaluation.thresholds import Choice, choose_thresholds
from trainer.evaluation.training_verdict import Verdict, judge
from trainer.evaluation.tuning import tuning_frames
from trainer.evaluation.verdicts import share, station_verdicts
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

    tuning: Tensor  # the frames that fitted the temperature and the FAIL threshold, bool[n]
    calibration: Calibration
    choice: Choice  # of thresholds; its ``thresholds`` have the novelty threshold, too
    novelty: Novelty
    novelty_threshold: NoveltyThreshold
    metrics: ModelMetrics  # at the fitted temperature; the calibration error is of frames that tuned nothing
    same_top_class: int  # frames of ``metrics["n"]`` on which it agrees with the fp32 student, or nearly
    reported: dict[str, dict[str, Any]]  # overkill and reviews; see :func:`_reported`

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
            review=self.reported["review"]["share"],
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
        held_out: prepared frames; some of them tune, the others are for the promise and the figures.
        classes: with their roles.
        wishes: what the thresholds are chosen for.
    """
    fits: dict[str, SchemeFit] = {}
    labels, runs = held_out.labels, held_out.runs
    tuning = tuning_frames(labels, runs)
    tuning_runs = [run for run, tunes in zip(runs, tuning.tolist(), strict=True) if tunes]
    for scheme, answered in scheme_answers(student, ranges, train, held_out.images).items():
        answers, novelty = answered.logits.softmax(dim=1), answered.novelty
        calibration = calibrate(answers[tuning], labels[tuning], tuning_runs)
        probabilities = at_temperature(answers, calibration.temperature)
        choice = choose_thresholds(probabilities, labels, classes, runs, tuning, **wishes.model_dump())
        metrics = evaluate(probabilities, labels, [c.name for c in classes], runs)
        metrics["calibration_error"] = calibration_error(probabilities[~tuning], labels[~tuning])
        fits[scheme] = SchemeFit(
            tuning,
            calibration,
            choice,
            novelty,
            choose_threshold(torch.tensor([novelty(frame) for frame in answered.pooled]), runs),
            metrics,
            answered.same_top_class,
            _reported(probabilities, held_out, tuning, classes, choice.thresholds),
        )
    return fits


def _reported(
    probabilities: Tensor,
    frames: FrameSet,
    tuning: Tensor,
    classes: Sequence[WeldClass],
    thresholds: Thresholds,
) -> dict[str, dict[str, Any]]:
    """Overkill and reviews of the good frames that tuned nothing: no threshold was fitted to them.

    Without an accept class they are of all frames that tuned nothing, because PASS has no threshold then.
    Novel frames are not counted: the novelty threshold states its own false alarms.
    """
    _, failed, _ = found = station_verdicts(
        probabilities, torch.zeros(len(frames)), classes, thresholds.model_copy(update={"novelty": None})
    )
    accepts = torch.tensor([c.role == "accept" for c in classes])
    good = (accepts[frames.labels] | ~accepts.any()) & ~tuning
    return {
        "overkill": share(failed, good & accepts[frames.labels], frames.runs),
        "review": share(~found[0] & ~failed, good, frames.runs),
    }


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
