"""Restarts of networks that have not learnt: when a network begins again, and with what.

A network with bad luck (random weights, a learning rate that is too high) may name the commonest class for
every frame until its end. Training frames show that early: the network answers them as they are, without
augmentation, and a linear model answers each by what the other welding runs teach. Both are compared by
balanced accuracy, since naming one class is right for 99% of the frames of some shops. A network begins again
only if the linear model shows that there is something to learn. Held-out frames decide nothing.

Batch norm's running statistics trail behind the weights. So a healthy network may look bad in the middle of
its training: 30.9% at epoch 40 of 60, when the average of its weights had 98.8%. Here a copy of the network
gets the statistics of the frames that it is asked about.
"""

from __future__ import annotations

import copy
import math
from functools import cached_property, partial

import torch
from torch import Tensor, nn

from trainer.data.frames import FrameSet
from trainer.data.resizing import prepare
from trainer.errors import TrainingError
from trainer.evaluation.linear_baseline import cross_validated
from trainer.evaluation.metrics import wilson
from trainer.learning import batch_statistics
from trainer.learning.processes import Hardware
from trainer.learning.schedule import Hyperparameters
from trainer.learning.training import Restart
from trainer.network import initial_weights
from trainer.network.initial_weights import InitialWeights
from trainer.network.prediction import predict
from trainer.recipe import Network

ONE_CLASS_AFTER = 3  # a third of the epochs; the collapsed run of 60 was as bad at 15, a healthy one at 78%
AHEAD_AFTER = 2  # half of the epochs: a slow network on few frames needs more than a third
MIN_STEPS = 50  # before a look: with fewer, a third of the training shows nothing
HEALTHY = 0.9  # balanced accuracy with which a network goes on, however good the linear model is
MAX_FRAMES = 1000  # of the comparison: within 1.5% of the share of all frames, in less than an epoch's time
MIN_FRAMES_PER_CLASS = 10  # of them
RATE_FACTOR = 0.25  # of the learning rate; the rate with which collapsed runs learnt was 1/4 to 1/10
SEEDS_PER_ATTEMPT = 101  # more than a run has networks; 8 restarts stay below the 1,000 seeds of a run


class NotLearnt(Exception):
    """A network that has not learnt; the text says how that shows."""


class Attempts:
    """The attempts at one network: as the recipe says, and after each restart with one change more.

    The first change is the weights that ship with the program, if the recipe's are random and those fit. Each
    further change is a quarter of the learning rate. Every attempt has its own seed.

    Attributes:
        restarts: why the network began again so far, and with what. A checkpoint holds them.
        epochs: of the present attempt so far.
    """

    def __init__(
        self,
        restarts: list[Restart],
        limit: int,
        network: Network,
        start: InitialWeights,
        hyperparameters: Hyperparameters,
    ) -> None:
        """Take the restarts so far, their limit, the recipe's network, and what attempt 0 began with."""
        self.restarts, self.epochs = restarts, 0
        self._limit, self._network = limit, network
        self._start, self._hyperparameters = start, hyperparameters

    def current(self) -> tuple[InitialWeights, Hyperparameters]:
        """Return the initial weights and the hyperparameters of the present attempt."""
        number = len(self.restarts)
        from_shipped = number > 0 and bool(self._shipped.layers)
        changes = {
            "seed": self._hyperparameters.seed + SEEDS_PER_ATTEMPT * number,
            "learning_rate": self._hyperparameters.learning_rate * RATE_FACTOR ** (number - from_shipped),
        }
        start = self._shipped if from_shipped else self._start
        return start, self._hyperparameters.model_copy(update=changes)

    def check(self, check: LearningCheck, hardware: Hardware, done: int, learnt: nn.Module) -> None:
        """Look at a network after so many epochs, if it may begin again; the leader looks for all processes.

        Raises:
            NotLearnt: it should.
        """
        self.epochs = done
        if len(self.restarts) >= self._limit:
            return
        trouble = check.trouble(done, self._hyperparameters, learnt) if hardware.leader else None
        if hardware.leader_says(trouble is not None):
            raise NotLearnt(trouble)

    def begin_again(self, error: Exception) -> str:
        """Go to the next attempt, and return in words why and how.

        Raises:
            Exception: the error, if no attempt is left.
        """
        if len(self.restarts) >= self._limit:
            raise error
        why = str(error).partition(" (")[0] if isinstance(error, TrainingError) else str(error)
        self.restarts.append({"why": why, "then": ""})
        rate = self.current()[1].learning_rate
        lowered = rate < self._hyperparameters.learning_rate
        then = f"with learning rate {rate:g}" if lowered else "from the weights that ship with the program"
        self.restarts[-1]["then"] = then
        return f"{why}; it starts again {then} (restart {len(self.restarts)} of {self._limit})"

    @cached_property
    def _shipped(self) -> InitialWeights:
        """The weights that ship with the program, if the recipe's are random and those fit; else none."""
        if self._start.layers:
            return InitialWeights()
        return initial_weights.read(self._network.model_copy(update={"start": "auto"}))


class LearningCheck:
    """Comparison of networks in training with the linear model, on a sample of the training frames."""

    def __init__(self, train: FrameSet, classes: int, view: tuple[int, int]) -> None:
        """Take the training frames as kept for augmentation, and height and width of the views."""
        self._train, self._classes, self._view = train, classes, view

    def trouble(self, done: int, hyperparameters: Hyperparameters, network: nn.Module) -> str | None:
        """Return how it shows that a network has not learnt, or None; it is asked after every epoch.

        Args:
            done: epochs so far.
            hyperparameters: of the training, with the number of its epochs.
            network: with its averaged weights, if there are such.
        """
        epochs, steps = hyperparameters.epochs, done * hyperparameters.steps_per_epoch(len(self._train))
        third, half = math.ceil(epochs / ONE_CLASS_AFTER), math.ceil(epochs / AHEAD_AFTER)
        if done not in (third, half) or steps < MIN_STEPS or not self._linear_has_learnt:
            return None
        judged = copy.deepcopy(network)
        batch_statistics.recompute(judged, self._sample[0].images, *self._view)
        answers = predict(judged, self._frames).argmax(dim=1)
        ours, one_class = _balanced(answers, self._labels), len(set(answers.tolist())) == 1
        behind = done == half and ours <= min(self._linear, HEALTHY)
        if not one_class and not behind:
            return None
        what = "it names one class for all frames, and its" if one_class else "its"
        figures = f"balanced accuracy is {ours:.0%}, that of a linear model {self._linear:.0%}"
        return f"on training frames after {done} of {epochs} epochs {what} {figures}"

    @cached_property
    def _sample(self) -> tuple[FrameSet, Tensor]:
        """Return the frames that the linear model can answer, and its cross-validated answers."""
        chosen = _stratified(self._train, self._classes)
        answers = cross_validated(chosen, self._classes)
        known = answers >= 0
        return chosen.only(known.tolist()), answers[known]

    @cached_property
    def _frames(self) -> Tensor:
        """The sample at the size of the views, uint8[N, 1, H, W]."""
        resize = partial(prepare, height=self._view[0], width=self._view[1])
        return torch.stack([resize(image) for image in self._sample[0].images])

    @property
    def _labels(self) -> Tensor:
        return self._sample[0].labels

    @cached_property
    def _linear(self) -> float:
        """Balanced accuracy of the linear model."""
        return _balanced(self._sample[1], self._labels)

    @cached_property
    def _linear_has_learnt(self) -> bool:
        """Whether the linear model is better than a guess, beyond chance."""
        labels, answers = self._labels, self._sample[1]
        classes = set(labels.tolist())
        if len(classes) < 2:
            return False
        counts = [(int((answers[labels == c] == c).sum()), int((labels == c).sum())) for c in sorted(classes)]
        below = [right / n - wilson(right, n)[0] for right, n in counts]
        return self._linear - math.hypot(*below) / len(classes) > 1 / len(classes)


def _balanced(answers: Tensor, labels: Tensor) -> float:
    """Mean recall over the classes that occur."""
    recalls = [(answers[labels == label] == label).double().mean() for label in sorted(set(labels.tolist()))]
    return torch.stack(recalls).mean().item()


def _stratified(train: FrameSet, classes: int) -> FrameSet:
    """Return about ``MAX_FRAMES`` frames with labels: of each class its share, spread over its runs."""
    share = MAX_FRAMES / max(len(train), 1)
    chosen = torch.zeros(len(train), dtype=torch.bool)
    for label in range(classes):
        rows = (train.labels == label).nonzero().flatten()
        count = min(len(rows), max(MIN_FRAMES_PER_CLASS, round(share * len(rows))))
        if count:
            chosen[rows[torch.linspace(0, len(rows) - 1, count).long()]] = True
    return train.only(chosen.tolist())
