"""The verdict on a trained network: *ready*, *usable with review* or *do not deploy*, with its reasons.

It follows from figures on the held-out frames: the answers of the network that a station would run, and those
of the linear model. A network is refused on clear evidence only: a difference that chance explains is a
reason for review. docs/how-to/train.md lists the rules.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from inspector.network.metadata import TrainingVerdict, WeldClass
from trainer.evaluation.bounds import exact_lower
from trainer.evaluation.metrics import ModelMetrics, balanced_accuracy, wilson
from trainer.evaluation.promises import ClassEscapes
from trainer.evaluation.thresholds import MIN_FRAMES_PER_ROLE
from trainer.recipe import Thresholds as Wishes

log = logging.getLogger(__name__)

MIN_TRAINED = 10  # frames of a class to learn from: with so many, some must be found
MIN_MISSED = 5  # held-out frames of a class: if none of 5 is found, recall is below 45% with 95% confidence
MIN_HELD_OUT = MIN_FRAMES_PER_ROLE  # in all, to say that a network is no better than chance
MIN_MORE = 20  # frames to label: a fifth of them is held out, so at least 4
REVIEW_EXCESS = 2  # times the wished share of reviews: a little more is chance
_MAX_NAMES = 3  # of classes in one line


class Kind(StrEnum):
    """The rule that gives a reason, in the order in which reasons are named."""

    BEHIND_LINEAR_MODEL = "behind_linear_model"
    ONE_CLASS = "one_class"
    CHANCE = "chance"
    NOT_FOUND = "not_found"
    NOT_AHEAD_OF_LINEAR_MODEL = "not_ahead_of_linear_model"
    RARELY_SEEN = "rarely_seen"
    OFTEN_WRONG = "often_wrong"
    ESCAPES = "escapes"
    MANY_REVIEWS = "many_reviews"
    TOO_FEW_HELD_OUT = "too_few_held_out"


_REFUSED = {Kind.BEHIND_LINEAR_MODEL, Kind.ONE_CLASS, Kind.CHANCE, Kind.NOT_FOUND}


@dataclass(frozen=True)
class Reason:
    """One reason against a network: its rule, its words, and the frames to label, by class or role."""

    kind: Kind
    text: str
    label_more: dict[str, int] = field(default_factory=dict)

    @property
    def level(self) -> TrainingVerdict:
        """The best verdict that this reason allows."""
        refused = self.kind in _REFUSED
        return TrainingVerdict.DO_NOT_DEPLOY if refused else TrainingVerdict.USABLE_WITH_REVIEW


@dataclass(frozen=True)
class Verdict:
    """The verdict with all its reasons; without any the network is ready."""

    reasons: list[Reason]

    @property
    def level(self) -> TrainingVerdict:
        """The worst level of the reasons."""
        levels = {reason.level for reason in self.reasons}
        return next((level for level in reversed(TrainingVerdict) if level in levels), TrainingVerdict.READY)

    @property
    def words(self) -> str:
        """One line: the level, its reasons, and how many frames to label."""
        shown = [reason for reason in self.reasons if reason.level is self.level]
        texts = [reason.text for reason in shown] + _advice(shown)
        return f"{self.level}: {'; '.join(texts)}" if texts else str(self.level)

    def as_json(self) -> dict[str, Any]:
        """Return plain values for ``results.json`` and for the metrics of artifact and student."""
        reasons = [
            {
                "kind": each.kind.value,
                "level": each.level.value,
                "text": each.text,
                "label_more": each.label_more,
            }
            for each in self.reasons
        ]
        return {"training_verdict": self.words, "training_verdict_reasons": reasons}

    def log(self) -> None:
        """Write the verdict as one line, as a warning if the network must not be deployed."""
        refused = self.level is TrainingVerdict.DO_NOT_DEPLOY
        log.log(logging.WARNING if refused else logging.INFO, "verdict: %s", self.words)


def judge(
    answers: ModelMetrics,
    linear: ModelMetrics,
    classes: Sequence[WeldClass],
    trained: Sequence[int],
    wishes: Wishes,
    *,
    review: float | None = None,
    escapes: Mapping[str, ClassEscapes] | None = None,
) -> Verdict:
    """Judge a network by its answers to held-out frames.

    Args:
        answers: metrics of the network.
        linear: metrics of the linear model on the same frames.
        classes: with their roles, in label order.
        trained: number of training frames of each class.
        wishes: the shares of escapes and reviews that the shop wants.
        review: share of good held-out frames with the verdict REVIEW; None: not known.
        escapes: at the thresholds, by defect class; None: not known.
    """
    of_linear = _behind_linear(answers, linear)
    of_classes = _one_class(answers) or [*_chance(answers), *_not_found(answers, trained)]
    few = _too_few(answers, classes, sum(trained))
    reasons = [*of_linear, *of_classes, *_wishes(answers, wishes, review, escapes or {}), *few]
    return Verdict(sorted(reasons, key=lambda reason: list(Kind).index(reason.kind)))


def _behind_linear(answers: ModelMetrics, linear: ModelMetrics) -> list[Reason]:
    """Compare top-1 and balanced accuracy; worse beyond chance, or ahead in neither."""
    pairs = {
        "": (answers["accuracy"], linear["accuracy"]),
        "balanced accuracy ": (
            balanced_accuracy(answers["per_class"]),
            balanced_accuracy(linear["per_class"]),
        ),
    }
    sides = {"": _in_all, "balanced accuracy ": _by_class}
    for name, (ours, theirs) in pairs.items():
        counts = sides[name]
        if ours + _difference_error(counts(answers), counts(linear)) * _by_runs(answers) < theirs:
            text = f"worse than a linear model ({name}{_against(ours, theirs)})"
            return [Reason(Kind.BEHIND_LINEAR_MODEL, text)]
    leads = {name: round(ours - theirs, 5) for name, (ours, theirs) in pairs.items()}
    if max(leads.values()) <= 0 and min(leads.values()) < 0:
        name = min(leads, key=leads.__getitem__)
        ours, theirs = pairs[name]
        text = f"not better than a linear model ({name}{_against(ours, theirs)})"
        return [Reason(Kind.NOT_AHEAD_OF_LINEAR_MODEL, text)]
    return []


def _one_class(answers: ModelMetrics) -> list[Reason]:
    """Find a network that gives one answer to frames of several classes."""
    named = [name for name, count in zip(answers["per_class"], _columns(answers), strict=True) if count]
    if len(named) > 1 or len(_by_class(answers)) == 1:
        return []
    return [Reason(Kind.ONE_CLASS, f"it names '{named[0]}' for each of {answers['n']} held-out frames")]


def _chance(answers: ModelMetrics) -> list[Reason]:
    """Find a network whose balanced accuracy is not shown to be above that of a guess."""
    counts, balanced = _by_class(answers), balanced_accuracy(answers["per_class"])
    below = [right / n - wilson(right, n)[0] for right, n in counts]
    least = balanced - math.hypot(*below) / len(counts)
    if answers["n"] < MIN_HELD_OUT or len(counts) == 1 or least > 1 / len(counts):
        return []
    text = f"no better than chance (balanced accuracy {balanced:.0%}, a guess has {1 / len(counts):.0%})"
    return [Reason(Kind.CHANCE, text)]


def _not_found(answers: ModelMetrics, trained: Sequence[int]) -> list[Reason]:
    """Find the classes without a right answer: those that must be found, and those that are too rare."""
    missed: dict[str, int] = {}
    rare: dict[str, int] = {}
    unseen: dict[str, int] = {}
    for label, (name, each) in enumerate(answers["per_class"].items()):
        more = max(MIN_MORE, trained[label])  # as many again: fewer change little (Hestness et al. 2017)
        if not each["n"]:
            unseen[name] = more
        elif not answers["confusion"][label][label]:
            enough = trained[label] >= MIN_TRAINED and each["n"] >= MIN_MISSED
            (missed if enough else rare)[name] = more
    found = {
        Kind.NOT_FOUND: (missed, f"of {_classes(missed)} nothing was found"),
        Kind.RARELY_SEEN: (rare, f"of {_classes(rare)} nothing was found, in few frames"),
    }
    reasons = [Reason(kind, text, more) for kind, (more, text) in found.items() if more]
    if unseen:
        reasons.append(Reason(Kind.RARELY_SEEN, f"no frame of {_classes(unseen)} is held out", unseen))
    return reasons


def _wishes(
    answers: ModelMetrics, wishes: Wishes, review: float | None, escapes: Mapping[str, ClassEscapes]
) -> list[Reason]:
    """Compare wrong answers, escapes and reviews with what the shop wants."""
    reasons, wrong = [], 1 - answers["accuracy"]
    if wrong > wishes.review:
        reasons.append(Reason(Kind.OFTEN_WRONG, f"{wrong:.0%} of its answers are wrong"))
    for name, each in escapes.items():
        if exact_lower(each.drawn_passed, each.runs) > wishes.escape:
            text = f"{each.passed} of {each.frames} held-out frames of class '{name}' pass"
            reasons.append(Reason(Kind.ESCAPES, text))
    if review is not None and review > REVIEW_EXCESS * wishes.review:
        reasons.append(Reason(Kind.MANY_REVIEWS, f"{review:.0%} of frames need a person"))
    return reasons


def _too_few(answers: ModelMetrics, classes: Sequence[WeldClass], trained: int) -> list[Reason]:
    """Find the roles of which too few frames are held out to choose thresholds or to show few escapes."""
    held_out_share = answers["n"] / (answers["n"] + trained)
    have = {"accepted": 0, "defective": 0}
    for each in classes:
        have["accepted" if each.role == "accept" else "defective"] += answers["per_class"][each.name]["n"]
    if all(each.role == "defect" for each in classes):
        del have["accepted"]  # nothing passes, as the recipe says
    few = {role: count for role, count in have.items() if count < MIN_FRAMES_PER_ROLE}
    if not few:
        return []
    texts = [f"{count} {role}" for role, count in few.items()]
    more = {role: math.ceil((MIN_FRAMES_PER_ROLE - n) / held_out_share) for role, n in few.items()}
    text = f"too few frames are held out ({', '.join(texts)})"
    return [Reason(Kind.TOO_FEW_HELD_OUT, text, more)]


def _advice(reasons: Sequence[Reason]) -> list[str]:
    """Say how many frames to label: at most a few numbers, the others are in the reasons."""
    wanted: dict[str, int] = {}
    for reason in reasons:
        role = reason.kind is Kind.TOO_FEW_HELD_OUT
        wanted |= {name if role else f"of '{name}'": count for name, count in reason.label_more.items()}
    if not wanted:
        return []
    if len(wanted) > _MAX_NAMES:
        low, high = min(wanted.values()), max(wanted.values())
        return [f"label {low if low == high else f'{low} to {high}'} more of each"]
    return [f"label {', '.join(f'{count} more {name}' for name, count in wanted.items())}"]


def _classes(names: Mapping[str, int]) -> str:
    quoted = [f"'{name}'" for name in list(names)[:_MAX_NAMES]]
    more = f" and {len(names) - _MAX_NAMES} more" if len(names) > _MAX_NAMES else ""
    return f"class {quoted[0]}" if len(names) == 1 else f"classes {', '.join(quoted)}{more}"


def _against(ours: float, theirs: float) -> str:
    digits = 0 if round(100 * ours) != round(100 * theirs) else 1
    return f"{ours:.{digits}%} against {theirs:.{digits}%}"


def _in_all(metrics: ModelMetrics) -> list[tuple[int, int]]:
    """Right answers and frames, as one group."""
    return [(sum(row[label] for label, row in enumerate(metrics["confusion"])), metrics["n"])]


def _by_class(metrics: ModelMetrics) -> list[tuple[int, int]]:
    """Right answers and frames of each class that has frames."""
    rows = enumerate(metrics["confusion"])
    return [(row[label], sum(row)) for label, row in rows if sum(row)]


def _columns(metrics: ModelMetrics) -> list[int]:
    """Number of answers of each class."""
    return [sum(column) for column in zip(*metrics["confusion"], strict=True)]


def _difference_error(ours: Sequence[tuple[int, int]], theirs: Sequence[tuple[int, int]]) -> float:
    """How far the mean difference of shares may be above what was seen, with 95% confidence.

    Wilson's intervals of both are combined as if they were independent (Zou and Donner 2008). Answers to the
    same frames mostly agree, so the true error is smaller.
    """
    above = [wilson(right, n)[1] - right / n for right, n in ours]
    below = [right / n - wilson(right, n)[0] for right, n in theirs]
    return math.hypot(*above, *below) / len(ours)


def _by_runs(metrics: ModelMetrics) -> float:
    """How many times wider an interval is over welding runs, whose frames are alike, than over frames."""
    low, high = wilson(*_in_all(metrics)[0])
    if metrics["accuracy_interval_runs"] is None:
        return 1.0
    low_runs, high_runs = metrics["accuracy_interval_runs"]
    return max(1.0, (high_runs - low_runs) / (high - low))
