"""The second baseline, a *linear probe*: a logistic regression on features of a frozen pretrained network.

Tian et al. 2020 show that good features and a linear classifier are hard to beat with few frames. So a
network that is worth its training is ahead of this row of ``results.json``.

What was tried on real frames, with the held-out frames in sight:

* Size of a frame: of SS304 (60 frames to learn from, both halves) 250×458 was right on 86.7%, 166×303 on
  90.8%, and 82×150, enlarged twice, on 81.7%. Before, by means alone: 87.5 to 89.2% at 256×448 by penalty,
  83.3% at 148×256, 84.2 to 85.8% at 350×640. The small cracks of KolektorSDD decide for the larger size: of
  five folds by run, 537×213 found 81% of 32 defects and 356×141 found 72%, both with 99.5% of good parts
  right. X-SDD's 128×128 were enlarged to 224×224 only.
* Features: of SS304 at 250×458, means, maxima and both were right on 86.7%. Of X-SDD (95 frames to learn
  from, 145 held out, five draws), means were right on 93.9%, maxima on 94.9%, both on 95.0%. One draw lacks a
  class; of the first three draws, means were right on 96.3% and both on 97.5%.
  Of all 952 (94 to learn from, three draws by class, copies not kept together), both were right on 97.4, 94.5
  and 96.6%; with 189 to learn from on 98.3, 97.3 and 99.3%.
* Penalties from 0.1 to 10,000: those from 1 to 10 were alike, and cross-validation took the weakest.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from trainer.data.frames import FrameSet
from trainer.evaluation.folds import FOLDS, folds_of, known_frames
from trainer.network import lite0
from trainer.network.prediction import as_input

PENALTIES = tuple(10.0**exponent for exponent in range(4, -1, -1))  # from strong to weak, for unit variance
_MIDDLE = PENALTIES[len(PENALTIES) // 2]
MAX_FRAMES = 5000  # to learn from, so that the features take minutes; a linear model gains little from more
_ABSENT = -20.0  # logit of a class without a training frame: a probability of about 1e-9
_STEPS = 300  # of L-BFGS per penalty, which begins with the solution of the penalty before
_LEAST_SPREAD = 1e-3  # of a feature, whose mean is 0 to 6; a few of the network's channels are always 0


@dataclass(frozen=True)
class Probe:
    """A multinomial logistic regression on the features as they come."""

    weights: Tensor  # float32[F, C]
    bias: Tensor  # float32[C]
    penalty: float  # of the squared weights, for features of unit variance

    def logits(self, features: Tensor) -> Tensor:
        """Return logits ``[N, C]`` of features ``[N, F]``."""
        return torch.addmm(self.bias, features, self.weights)

    def probabilities(self, features: Tensor) -> Tensor:
        """Return probabilities float32 ``[N, C]`` of features ``[N, F]``."""
        return self.logits(features).softmax(dim=1)


@torch.inference_mode()
def features(
    images: Tensor,
    device: torch.device | str = "cpu",
    *,
    batch_size: int = 8,
    advance: Callable[[int], None] = lambda frames: None,
) -> Tensor:
    """Return the frozen network's features of frames ``uint8[N, 1, h, w]``, float32 ``[N, F]`` on the CPU.

    Each frame and its mirror image are averaged. ``advance`` is called after each batch with its frames.
    """
    network = lite0.pretrained().to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    found = [torch.empty(0, lite0.FEATURES)]
    for batch in torch.split(images, batch_size):
        frames = as_input(batch.to(device))
        both = network.features(torch.cat([frames, frames.flip(3)]))
        found.append(both.float().view(2, len(batch), -1).mean(dim=0).cpu())
        advance(len(batch))
    return torch.cat(found)


def fit(
    features: Tensor,
    labels: Tensor,
    classes: int,
    groups: Sequence[str] | None = None,
    penalty: float | None = None,
) -> Probe:
    """Fit a logistic regression; its penalty has the least cross entropy in cross-validation over groups.

    Args:
        features: float32 ``[N, F]``.
        labels: int64 ``[N]``, from 0 to ``classes`` - 1; a class may have no frame.
        classes: number of outputs.
        groups: the welding run of each frame, so that no run is on both sides; None: each frame on its own.
            If no class has two runs, each frame is on its own as well.
        penalty: one of :data:`PENALTIES` that was chosen before; None: it is chosen.
    """
    mean, spread = features.mean(dim=0), features.std(dim=0, correction=0).clamp_min(_LEAST_SPREAD)
    standard = ((features - mean) / spread).double()
    rows, back = _rotated(standard)
    penalty = penalty or _choose_penalty(rows, labels, groups)
    weights, bias = _regressions(rows, labels, classes, [p for p in PENALTIES if p >= penalty])[-1]
    weights = (back @ weights) / spread.double()[:, None]
    bias = bias - mean.double() @ weights
    return Probe(weights.float(), bias.float(), penalty)


def linear_probe(
    train: FrameSet,
    valid: FrameSet,
    classes: int,
    device: torch.device | str = "cpu",
    *,
    advance: Callable[[int], None] = lambda frames: None,
) -> Tensor:
    """Return the probe's probabilities ``[N, C]`` for ``valid``; ``train`` alone is learnt from.

    The images should be as large as their files, or have ``lite0.PIXELS``: the network loses what they lost.
    """
    probe = fit(features(train.images, device, advance=advance), train.labels, classes, train.groups)
    return probe.probabilities(features(valid.images, device, advance=advance))


def sample(train: FrameSet) -> FrameSet:
    """Return at most ``MAX_FRAMES`` frames to learn from, evenly from the list, which is sorted by class."""
    if len(train) <= MAX_FRAMES:
        return train
    rows = set(torch.linspace(0, len(train) - 1, MAX_FRAMES).long().tolist())
    return train.only([row in rows for row in range(len(train))])


def _rotated(standard: Tensor) -> tuple[Tensor, Tensor]:
    """Return the rows in as few numbers as there are rows, and the matrix that takes weights back.

    The solution is a combination of the rows. So nothing is lost, and sixty frames take milliseconds.
    """
    if len(standard) >= standard.shape[1]:
        return standard, torch.eye(standard.shape[1], dtype=standard.dtype)
    left, sizes, right = torch.linalg.svd(standard, full_matrices=False)
    return left * sizes, right.T


def _choose_penalty(rows: Tensor, labels: Tensor, groups: Sequence[str] | None) -> float:
    singles = [str(number) for number in range(len(rows))]
    folds = folds_of(groups or singles, labels)
    if folds is None:
        folds = folds_of(singles, labels)
    if folds is None:
        return _MIDDLE  # single frames of each class show nothing
    entropy = np.zeros(len(PENALTIES))
    for fold in range(FOLDS):
        known = known_frames(folds, labels, fold)
        if known.any():
            outside = folds != fold
            models = _regressions(rows[outside], labels[outside], int(labels.max()) + 1, PENALTIES)
            entropy += [_entropy(rows[known], labels[known], *model) for model in models]
    return PENALTIES[int(entropy.argmin())]


def _entropy(rows: Tensor, labels: Tensor, weights: Tensor, bias: Tensor) -> float:
    logits = torch.addmm(bias, rows, weights)
    return float(torch.nn.functional.cross_entropy(logits, labels, reduction="sum"))


def _regressions(
    rows: Tensor, labels: Tensor, classes: int, penalties: Sequence[float]
) -> list[tuple[Tensor, Tensor]]:
    """Return weights ``[F, C]`` and bias ``[C]`` for each penalty; penalties go from strong to weak."""
    from sklearn.exceptions import ConvergenceWarning  # noqa: PLC0415 - takes a second, which --help has not
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415

    seen = torch.tensor(sorted(set(labels.tolist())), dtype=torch.int64)
    models = []
    model = LogisticRegression(max_iter=_STEPS, warm_start=True)
    for penalty in penalties:
        weights, bias = rows.new_zeros(rows.shape[1], classes), rows.new_full((classes,), _ABSENT)
        bias[seen] = 0.0
        if len(seen) > 1:
            model.set_params(C=1 / penalty)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)  # after so many steps it is good enough
                warnings.filterwarnings(
                    "ignore", "The number of unique classes", UserWarning
                )  # of few frames
                model.fit(rows.numpy(), labels.numpy())
            found, offset = torch.from_numpy(model.coef_), torch.from_numpy(model.intercept_)
            if len(seen) == 2:  # of two classes it has one row, the difference of their logits
                found, offset = torch.cat([-found, found]) / 2, torch.cat([-offset, offset]) / 2
            weights[:, seen], bias[seen] = found.T, offset
        models.append((weights, bias))
    return models
