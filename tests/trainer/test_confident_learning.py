"""Suspect labels from answers: which are named, and in which order."""

from __future__ import annotations

import numpy as np

from trainer.labels.confident_learning import judge_labels
from trainer.labels.folds import independent_groups, out_of_fold, stratified, thinned


def test_a_label_that_the_model_is_sure_is_another_class_is_suspect() -> None:
    """A frame as sure of another class as that class's own frames is suspect, and the surest comes first."""
    answers = np.array([[0.9, 0.1], [0.8, 0.2], [0.05, 0.95], [0.2, 0.8], [0.1, 0.9], [0.15, 0.85]])
    opinion = judge_labels(answers, np.array([0, 0, 0, 0, 1, 1]))
    assert opinion.suspect.tolist() == [False, False, True, False, False, False]
    assert opinion.proposed.tolist() == [0, 0, 1, 1, 1, 1], "else the most probable class"
    assert opinion.order.tolist()[:2] == [2, 3], "then the one that is nearest to it"


def test_an_unsure_class_needs_less_certainty() -> None:
    """A rare class that the model gives 40% on its own frames may be proposed at 45%."""
    answers = np.array([[0.95, 0.05], [0.97, 0.03], [0.96, 0.04], [0.54, 0.46], [0.6, 0.4], [0.62, 0.38]])
    opinion = judge_labels(answers, np.array([0, 0, 0, 0, 1, 1]))
    assert np.flatnonzero(opinion.suspect).tolist() == [3]


def test_frames_without_an_answer_come_last_and_are_no_suspects() -> None:
    """A class that no other fold knows is not judged, and not proposed for others."""
    answers = np.array([[np.nan] * 3, [0.9, 0.1, 0.0], [0.2, 0.8, 0.0]])
    opinion = judge_labels(answers, np.array([2, 0, 1]))
    assert opinion.order.tolist()[-1] == 0
    assert not opinion.suspect.any()
    assert opinion.proposed.tolist() == [2, 0, 1]


def test_runs_and_copies_stay_together_but_every_class_has_two_groups() -> None:
    """Frames of a run are one group, and a class of a single run is divided into its frames."""
    labels = np.array([0, 0, 0, 0, 1, 1, 2, 2, 2])
    runs = ["a", "a", "b", "b", "only", "only", None, None, None]
    groups = independent_groups(labels, runs, ["1", "2", "3", "4", "5", "6", "7", "7", "8"])
    same = {(i, j) for i in range(9) for j in range(i) if groups[i] == groups[j]}
    assert same == {(1, 0), (3, 2), (7, 6)}


def test_folds_are_stratified_and_keep_groups() -> None:
    """Each fold has the same share of each class, no group is divided, and a rare class is in two folds."""
    labels = np.repeat([0, 1, 2], [60, 20, 2])
    groups = np.arange(82) // 2
    groups[-2:] = [100, 101]
    groups = np.unique(groups, return_inverse=True)[1]
    folds = stratified(labels, groups, seed=0)
    assert all(len(set(folds[groups == group])) == 1 for group in set(groups))
    assert np.bincount(folds[labels == 0]).tolist() == [12] * 5
    assert np.bincount(folds[labels == 1]).tolist() == [4] * 5
    assert len(set(folds[-2:])) == 2
    assert (folds != stratified(labels, groups, seed=1)).any()
    few = thinned(labels, groups, 0.25, seed=0)
    assert 18 <= len(few) <= 24
    assert set(labels[few]) == {0, 1, 2}, "a class of two frames, too"


def test_each_answer_is_of_a_model_that_has_not_seen_the_frame() -> None:
    """Every frame is judged once, by rows of other folds; a class of one fold has no answer."""
    labels = np.array([0, 1, 0, 1, 2])
    folds = np.array([0, 0, 1, 1, 1])
    asked: list[int] = []

    def model(rows: np.ndarray, unseen: np.ndarray) -> np.ndarray:
        assert not set(folds[rows]) & set(folds[unseen])
        asked.extend(unseen.tolist())
        return np.full((len(unseen), 3), 1 / 3, dtype=np.float32)

    answers = out_of_fold(labels, folds, 3, model)
    assert sorted(asked) == [0, 1, 2, 3]
    assert np.isnan(answers).all(axis=1).tolist() == [False] * 4 + [True]
