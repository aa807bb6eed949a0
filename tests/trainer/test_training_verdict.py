"""The verdict on a trained network: its rules on figures that show them, and what holds for any figures."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspector.network.metadata import TrainingVerdict, WeldClass
from trainer.evaluation.metrics import ModelMetrics, balanced_accuracy, wilson
from trainer.evaluation.thresholds import ClassEscapes
from trainer.evaluation.training_verdict import Kind, Verdict, judge
from trainer.recipe import Thresholds

READY, REVIEW, REFUSED = TrainingVerdict
Confusion = Sequence[Sequence[int]]


def metrics(confusion: Confusion, interval_runs: list[float] | None = None) -> ModelMetrics:
    """Metrics of so many answers: a row for each true class, a column for each answer."""
    right, n = sum(row[i] for i, row in enumerate(confusion)), sum(map(sum, confusion))
    rows = enumerate(confusion)
    per_class = {name(i): {"n": sum(row), "recall": row[i] / max(1, sum(row))} for i, row in rows}
    return {
        "n": n,
        "accuracy": right / n,
        "accuracy_interval": list(wilson(right, n)),
        "accuracy_interval_runs": interval_runs,
        "confusion": [list(row) for row in confusion],
        "per_class": per_class,
    }


def name(label: int) -> str:
    """The name of a class; the first one is good."""
    return f"c{label}" if label else "good"


def verdict(
    ours: Confusion, linear: Confusion, trained: Sequence[int] | None = None, **more: object
) -> Verdict:
    """Judge a network by two confusion matrices; the first class is accepted."""
    classes = [WeldClass(name=name(i), role="defect" if i else "accept") for i in range(len(ours))]
    counts = trained or [4 * sum(row) for row in ours]
    return judge(metrics(ours), metrics(linear), classes, counts, Thresholds(), **more)


def kinds(judged: Verdict) -> list[Kind]:
    """The rules that gave reasons."""
    return [reason.kind for reason in judged.reasons]


PERFECT = [[60, 0, 0], [0, 40, 0], [0, 0, 40]]


def test_words_are_one_line_with_reasons_and_advice() -> None:
    """The figures of both models, the class that is never found, and the frames to label are in the line."""
    ours = [[58, 17, 0], [18, 17, 0], [21, 10, 0]]  # 75 of 141
    linear = [[60, 10, 5], [5, 20, 10], [6, 5, 20]]  # 100 of 141
    judged = verdict(ours, linear, [300, 80, 12])
    assert judged.words == (
        "do not deploy: worse than a linear model (53% against 71%); of class 'c2' nothing was found; "
        "label 20 more of 'c2'"
    )
    assert judged.as_json()["training_verdict"] == judged.words
    [behind, missed] = judged.as_json()["training_verdict_reasons"][:2]
    assert (behind["kind"], behind["level"]) == ("behind_linear_model", "do not deploy")
    assert missed["label_more"] == {"c2": 20}
    assert type(behind["kind"]) is type(behind["level"]) is str, "torch reads no other values from student.pt"


def test_a_network_without_a_reason_against_it_is_ready() -> None:
    """The verdict is the one word."""
    assert verdict(PERFECT, PERFECT).words == "ready"


def test_more_of_a_class_is_as_many_as_it_has() -> None:
    """A class of 80 frames of which nothing is found needs 80 more, not 20."""
    judged = verdict([[60, 0, 0], [0, 40, 0], [20, 20, 0]], PERFECT, [240, 160, 80])
    assert judged.words.endswith("label 80 more of 'c2'")


def test_a_difference_that_chance_explains_is_no_refusal() -> None:
    """With 60 frames, 80% against 82% is a reason for review; with 6,000 it is worse than a linear model."""
    few = verdict([[24, 6], [6, 24]], [[25, 5], [6, 24]])
    assert (few.level, few.reasons[0].kind) == (REVIEW, Kind.NOT_AHEAD_OF_LINEAR_MODEL)
    assert "not better than a linear model (80% against 82%)" in few.words
    many = verdict([[2400, 600], [600, 2400]], [[2500, 500], [600, 2400]])
    assert many.reasons[0].kind is Kind.BEHIND_LINEAR_MODEL


def test_the_commonest_class_is_no_achievement() -> None:
    """71% by one class is refused, and so is a network that finds the rare classes less often."""
    one = verdict([[152, 0, 0], [40, 0, 0], [22, 0, 0]], [[130, 12, 10], [18, 14, 8], [8, 4, 10]])
    assert one.level is REFUSED
    assert "it names 'good' for each of 214 held-out frames" in one.words
    ours = [[152, 0, 0], [34, 6, 0], [20, 0, 2]]  # 74.8%, balanced 41%
    balanced = verdict(ours, [[110, 22, 20], [5, 33, 2], [2, 2, 18]])  # 75.2%, balanced 79%
    assert balanced.reasons[0].text == "worse than a linear model (balanced accuracy 41% against 79%)"


def test_labels_at_random_are_no_better_than_chance() -> None:
    """Neither network nor linear model learns anything, so the difference of both says nothing."""
    judged = verdict([[18, 22], [20, 20]], [[20, 20], [19, 21]])
    assert judged.level is REFUSED
    assert "no better than chance (balanced accuracy 48%, a guess has 50%)" in judged.words


def test_five_hundred_good_and_three_bad() -> None:
    """One bad frame that is missed says little: review, and bad frames to label; all good is refused."""
    missed = verdict([[99, 1], [0, 1]], [[100, 0], [1, 0]], [400, 2])
    assert (missed.level, kinds(missed)) == (REVIEW, [Kind.TOO_FEW_HELD_OUT])
    assert "too few frames are held out (1 defective); label 145 more defective" in missed.words
    assert verdict([[100, 0], [1, 0]], [[100, 0], [1, 0]], [400, 2]).level is REFUSED


def test_a_rare_class_that_is_never_found_is_review() -> None:
    """Four held-out frames, or nine to learn from, are too few to refuse a network for."""
    ours = [[60, 0, 0], [0, 40, 0], [2, 2, 0]]
    assert kinds(verdict(ours, ours)) == [Kind.RARELY_SEEN]
    ours = [[60, 0, 0], [0, 40, 0], [3, 3, 0]]
    assert kinds(verdict(ours, ours, [240, 160, 9])) == [Kind.RARELY_SEEN]
    assert kinds(verdict(ours, ours, [240, 160, 10])) == [Kind.NOT_FOUND]
    unseen = verdict([[60, 0, 0], [0, 40, 0], [0, 0, 0]], PERFECT, [240, 160, 3])
    assert "no frame of class 'c2' is held out; label 20 more of 'c2'" in unseen.words


def test_the_wishes_of_the_shop_are_compared() -> None:
    """Wrong answers, escapes and reviews beyond the wished shares are reasons for review."""
    ours, linear = [[50, 10, 0], [4, 36, 0], [4, 0, 36]], [[30, 30, 0], [20, 20, 0], [20, 0, 20]]
    escapes = {"c1": ClassEscapes(40, 4, 40, 4, 0.2, 100), "c2": ClassEscapes(40, 0, 40, 0, 0.1, 100)}
    judged = verdict(ours, linear, review=0.34, escapes=escapes)
    assert kinds(judged) == [Kind.OFTEN_WRONG, Kind.ESCAPES, Kind.MANY_REVIEWS]
    assert judged.words == (
        "usable with review: 13% of its answers are wrong; 4 of 40 held-out frames of class 'c1' pass; "
        "34% of frames need a person"
    )
    one = {"c1": ClassEscapes(40, 1, 40, 1, 0.2, 100)}
    assert verdict(PERFECT, linear, review=0.19, escapes=one).level is READY


def test_frames_of_few_runs_refuse_nothing() -> None:
    """The same figures from a handful of runs, whose frames are alike, prove less than from single frames."""
    ours, linear = [[30, 30], [26, 34]], [[45, 15], [16, 44]]
    classes = [WeldClass(name=name(i), role="defect" if i else "accept") for i in range(2)]
    by_runs = judge(metrics(ours, [0.2, 0.85]), metrics(linear), classes, [90, 90], Thresholds())
    assert Kind.BEHIND_LINEAR_MODEL in kinds(verdict(ours, linear))
    assert Kind.BEHIND_LINEAR_MODEL not in kinds(by_runs)


def test_many_classes_stay_one_short_line() -> None:
    """Three classes are named, the others counted; each has its number in the reasons."""
    ours = [
        [60, *[0] * 9],
        *[[10 * (i < 7), *[10 * (i >= 7 and j == i) for j in range(9)]] for i in range(9)],
    ]
    judged = verdict(ours, ours)
    assert "of classes 'c1', 'c2', 'c3' and 4 more nothing was found; label 40 more of each" in judged.words
    assert len(judged.reasons[0].label_more) == 7


@st.composite
def confusions(draw: st.DrawFn) -> tuple[Confusion, Confusion]:
    """Two confusion matrices of the same frames."""
    count = draw(st.integers(2, 5))
    sizes = draw(st.lists(st.integers(0, 60), min_size=count, max_size=count).filter(any))

    def answers() -> Confusion:
        rows = [draw(st.lists(st.integers(0, count - 1), min_size=size, max_size=size)) for size in sizes]
        return [[row.count(label) for label in range(count)] for row in rows]

    return answers(), answers()


@given(confusions())
def test_the_order_of_classes_makes_no_difference(pair: tuple[Confusion, Confusion]) -> None:
    """Any figures give a verdict, and the same one if the defect classes are numbered in another way."""
    ours, linear = pair
    order = [0, *reversed(range(1, len(ours)))]

    def turned(confusion: Confusion) -> Confusion:
        return [[confusion[row][column] for column in order] for row in order]

    one, other = verdict(ours, linear), verdict(turned(ours), turned(linear))
    assert (one.level, kinds(one)) == (other.level, kinds(other))
    assert one.words.startswith(one.level)
    assert "\n" not in one.words


@given(confusions(), st.integers(0, 4))
def test_one_answer_for_all_is_always_refused(pair: tuple[Confusion, Confusion], answer: int) -> None:
    """However few frames there are and however poor the linear model is, if several classes are held out."""
    linear = pair[1]
    count = len(linear)
    sizes = [sum(row) for row in linear]
    ours = [[size * (label == answer % count) for label in range(count)] for size in sizes]
    if sum(size > 0 for size in sizes) > 1:
        assert verdict(ours, linear).level is REFUSED


@given(confusions())
def test_only_right_answers_are_never_refused(pair: tuple[Confusion, Confusion]) -> None:
    """However few frames there are; and with enough frames of each class the network is ready."""
    linear = pair[1]
    sizes = [sum(row) for row in linear]
    ours = [[size * (row == column) for column in range(len(sizes))] for row, size in enumerate(sizes)]
    judged = verdict(ours, linear)
    assert judged.level is not REFUSED
    assert judged.level is READY or min(*sizes, sum(sizes[1:])) < 30


@given(confusions())
def test_a_network_that_is_ahead_in_both_measures_is_not_behind(pair: tuple[Confusion, Confusion]) -> None:
    """Of two networks on the same frames at most one is worse than the other, and never by both measures."""
    ours, linear = map(metrics, pair)
    balanced = [balanced_accuracy(each["per_class"]) for each in (ours, linear)]
    ahead = ours["accuracy"] >= linear["accuracy"] and balanced[0] >= balanced[1]
    if ahead:
        behind = {Kind.BEHIND_LINEAR_MODEL, Kind.NOT_AHEAD_OF_LINEAR_MODEL}
        assert not behind & set(kinds(verdict(*pair)))


@pytest.mark.parametrize("level", list(TrainingVerdict))
def test_words_begin_with_the_level(level: TrainingVerdict) -> None:
    """The station reads the level from the first words, so they are the enum's."""
    found = {
        READY: verdict(PERFECT, PERFECT),
        REVIEW: verdict([[2, 0], [0, 2]], [[2, 0], [0, 2]]),
        REFUSED: verdict([[40, 0], [40, 0]], [[40, 0], [40, 0]]),
    }
    assert found[level].level is level
    assert found[level].words.partition(":")[0] == level.value
