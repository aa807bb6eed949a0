"""Confident learning: labels that disagree with what a model says of frames that it has not learnt from.

The method of Northcutt, Jiang and Chuang 2021 (J. Artificial Intelligence Research 70, 1373-1411). The
authors' library, cleanlab, is not used: these lines are all that is needed of it, and it would bring pandas
and three more packages. docs/measurements/suspect-labels.md compares the answers of both.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_SLACK = 1e-6  # of a threshold, against rounding: a class of one frame has its probability as threshold


@dataclass(frozen=True)
class Opinion:
    """What a model's answers say about the labels.

    ``of_label`` float64[N] is the probability of the label; NaN if the frame was not judged. ``suspect``
    bool[N] is true if the model is as sure of another class as it is of that class's own frames. ``proposed``
    int64[N] is that class, else the most probable one, which may be the label.
    """

    of_label: NDArray[np.float64]
    suspect: NDArray[np.bool_]
    proposed: NDArray[np.int64]

    @property
    def order(self) -> NDArray[np.int64]:
        """Rows from the least to the most probable label; frames that could not be judged come last.

        Of the rankings of the authors' library this one found most flipped labels (docs/measurements).
        """
        return np.argsort(self.of_label, kind="stable")  # NaN comes last


def judge_labels(probabilities: NDArray[np.floating], labels: NDArray[np.integer]) -> Opinion:
    """Compare labels with a model's answers.

    A class's threshold is the mean probability that the model gives it on the frames with its label. A frame
    belongs confidently to the most probable class of those whose threshold it reaches. If that is another
    class than its label, the label is suspect. So a class of which the model is never sure needs less
    certainty than the others.

    Args:
        probabilities: ``[N, C]``, of models that did not learn from the frame; NaN if it was not judged.
        labels: int[N].
    """
    n, classes = probabilities.shape
    rows, judged = np.arange(n), ~np.isnan(probabilities).any(axis=1)
    of_label = probabilities[rows, labels].astype(np.float64)
    thresholds = np.full(classes, np.inf)  # of a class without frames: nothing is known about it
    for label in np.unique(labels[judged]):
        thresholds[label] = of_label[judged & (labels == label)].mean()
    confident = np.where(probabilities >= thresholds - _SLACK, probabilities, -1.0)
    guess = confident.argmax(axis=1)
    suspect = judged & (confident.max(axis=1) >= 0) & (guess != labels)
    likely = np.where(judged, np.nan_to_num(probabilities).argmax(axis=1), labels)
    return Opinion(of_label, suspect, np.where(suspect, guess, likely))
