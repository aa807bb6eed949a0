"""Metrics, checked by hand and against their definitions."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trainer.evaluation.metrics import agreement, evaluate, wilson

CLASSES = ("good", "hole", "dirt")
TRUE = torch.tensor([0, 0, 0, 1, 1, 2])
ANSWERED = torch.nn.functional.one_hot(torch.tensor([0, 0, 1, 1, 1, 0]), 3).float()


def test_metrics_by_hand() -> None:
    """All accuracies, macro F1, metrics per class and confusion of six frames are those computed by hand."""
    result = evaluate(ANSWERED, TRUE, CLASSES, ["a", "a", "b", "b", "b", None])

    assert result["n"] == 6
    assert result["accuracy"] == pytest.approx(4 / 6)
    assert result["confusion"] == [[2, 1, 0], [0, 2, 0], [1, 0, 0]]
    assert result["per_class"]["good"] == pytest.approx(
        {"n": 3, "precision": 2 / 3, "recall": 2 / 3, "f1": 2 / 3}
    )
    assert result["per_class"]["hole"] == pytest.approx({"n": 2, "precision": 2 / 3, "recall": 1, "f1": 0.8})
    assert result["per_class"]["dirt"] == pytest.approx({"n": 1, "precision": 0, "recall": 0, "f1": 0})
    assert result["macro_f1"] == pytest.approx((2 / 3 + 0.8 + 0) / 3, abs=1e-6)
    assert result["balanced_accuracy"] == pytest.approx((2 / 3 + 1 + 0) / 3, abs=1e-6)
    assert result["by_run"] == {
        "a": {"n": 2, "accuracy": 1.0},
        "b": {"n": 3, "accuracy": pytest.approx(2 / 3)},
    }


def test_classes_that_never_occur_do_not_lower_the_macro_f1() -> None:
    """A class without frames and answers is left out of the mean."""
    result = evaluate(ANSWERED[:2], TRUE[:2], CLASSES)
    assert result["macro_f1"] == result["balanced_accuracy"] == 1.0
    assert result["by_run"] == {}


def test_wilson_against_published_values() -> None:
    """81 of 263 gives 0.2553 to 0.3662 (Newcombe 1998, Table I, method 3), and bounds stay within 0 and 1."""
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)
    assert wilson(20, 20)[1] == 1.0


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilsons_interval_contains_the_share(counts: tuple[int, int]) -> None:
    """The interval always contains the observed share."""
    low, high = wilson(*counts)
    assert 0 <= low <= counts[0] / counts[1] + 1e-12
    assert counts[0] / counts[1] - 1e-12 <= high <= 1


def test_agreement_counts_top_classes() -> None:
    """Two networks agree on a frame if their top classes are the same, at any confidence."""
    first = torch.tensor([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8], [0.7, 0.3]])
    second = torch.tensor([[0.6, 0.4], [0.1, 0.9], [0.8, 0.2], [0.9, 0.1]])
    assert agreement(first, second) == 0.75


def test_the_bootstrap_resamples_whole_runs() -> None:
    """If each run is entirely right or wrong, the interval is far wider, and none is given over frames."""
    labels = torch.zeros(200, dtype=torch.int64)
    answers = torch.zeros(200, 2)
    answers[:100, 0], answers[100:, 1] = 1, 1
    result = evaluate(answers, labels, ("good", "bad"), [f"run{i // 20}" for i in range(200)])
    low, high = result["accuracy_interval_runs"]
    assert low == pytest.approx(0.2, abs=0.05)
    assert high == pytest.approx(0.8, abs=0.05)
    assert result["accuracy_interval"] is None
    by_frames = evaluate(answers, labels, ("good", "bad"))
    assert by_frames["accuracy_interval"] == pytest.approx((0.431, 0.569), abs=1e-3)
    again = evaluate(answers, labels, ("good", "bad"), [f"run{i // 20}" for i in range(200)])
    assert again["accuracy_interval_runs"] == [low, high]


@pytest.mark.parametrize(("count", "low"), [(10, 0.7225), (4, 0.5101), (1, 0.2065)])
def test_runs_that_are_all_right_still_have_an_interval(count: int, low: float) -> None:
    """The interval of runs without a mistake is Wilson's with n = runs, however few there are."""
    labels = torch.tensor([0, 1] * 50)
    runs = [f"run{i % count}" for i in range(100)]
    result = evaluate(torch.eye(2)[labels].float(), labels, ("good", "bad"), runs)
    assert result["accuracy_interval_runs"] == pytest.approx([low, 1.0], abs=1e-4)


def test_frames_without_a_run_are_runs_of_their_own() -> None:
    """Three runs and seven single frames count as ten; without any run there is no interval over runs."""
    labels = torch.tensor([0, 1] * 20)
    right = torch.eye(2)[labels].float()
    mixed = evaluate(right, labels, ("good", "bad"), ["a", "b", "c"] * 11 + [None] * 7)
    assert mixed["accuracy_interval_runs"] == pytest.approx([0.7225, 1.0], abs=1e-4)
    for unknown in ([], [None] * 40):
        assert evaluate(right, labels, ("good", "bad"), unknown)["accuracy_interval_runs"] is None


def test_calibration_error_by_hand() -> None:
    """Ten answers at 0.8, half of them right, have a calibration error of 0.3."""
    probabilities = torch.tensor([[0.8, 0.2]] * 10)
    labels = torch.tensor([0, 1] * 5)
    assert evaluate(probabilities, labels, ("good", "bad"))["calibration_error"] == pytest.approx(
        0.3, abs=1e-6
    )
