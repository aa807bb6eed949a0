"""One network learns (section 3.3), epoch by epoch, and a killed run goes on as if nothing had happened.

Every random number of an epoch (order, augmentation) follows from the seed and the epoch's number, so a
checkpoint needs the weights, the optimizer and the schedule, and nothing of any generator.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from trainer.data.frames import FrameSet
from trainer.errors import TrainingError
from trainer.learning.processes import Hardware
from trainer.learning.rounded_weights import rounded_weights
from trainer.learning.schedule import Plan, arithmetic, average, optimizer
from trainer.network.prediction import as_input, predict
from trainer.run.saving import save

Targets = Callable[[Tensor, Tensor], Tensor]  # (views, true labels as shares) → what is learnt


@dataclass(frozen=True)
class Epoch:
    """One line of the log; shares from 0 to 1, ``valid_*`` None where nothing is held out."""

    epoch: int
    learning_rate: float
    train_loss: float
    train_accuracy: float
    valid_loss: float | None
    valid_accuracy: float | None
    seconds: float
    learning_seconds: float  # of these, in networks and optimizer: the rest is overhead


def true_labels(views: Tensor, truth: Tensor) -> Tensor:
    """Targets of a teacher."""
    return truth


def fit(
    network: nn.Module,
    train: FrameSet,
    augment: Callable[[Tensor], Tensor],
    plan: Plan,
    *,
    checkpoint: Path,
    targets: Targets = true_labels,
    valid: FrameSet | None = None,
    hardware: Hardware | None = None,
    on_batch: Callable[[int], None] = lambda frames: None,
    on_epoch: Callable[[list[Epoch]], None] = lambda history: None,
) -> list[Epoch]:
    """Train ``network`` in place, from ``checkpoint`` where that exists; a finished one trains no further.

    Args:
        network: frames ``[B, 1, H, W]`` from 0 to 1 → logits.
        train: frames as kept for augmentation.
        augment: kept frames → views, both uint8.
        plan: how to learn.
        checkpoint: written after each epoch, whole or not at all.
        targets: what cross entropy is taken against: the true labels, or an ensemble's for the views.
        valid: prepared frames for the curves; nothing is chosen by them.
        hardware: where to learn; None: one device.
        on_batch: called after each step with its number of frames.
        on_epoch: called after each epoch of this process with the whole history.

    Returns:
        The whole history, epochs before a restart included. Where the plan averages weights, the network ends
        with the average, and that is what the curves show. It ends on the processor.

    Raises:
        TrainingError: the loss is not a number; the message names epoch, batch and its frames.
    """
    hardware = hardware or Hardware()
    learner = _Learner(network, train, augment, plan, targets, hardware=hardware)
    history = learner.load(checkpoint) if checkpoint.exists() else []
    for number in range(len(history) + 1, plan.epochs + 1):
        start = time.monotonic()
        learning_rate = float(learner.scheduler.get_last_lr()[0])
        loss, accuracy, learning = learner.epoch(number, on_batch)
        watched = valid if hardware.leader else None
        valid_loss, valid_accuracy = learner.assess(watched) if watched is not None else (None, None)
        seconds = time.monotonic() - start
        history.append(
            Epoch(number, learning_rate, loss, accuracy, valid_loss, valid_accuracy, seconds, learning)
        )
        if hardware.leader:
            learner.save(checkpoint, history)
        hardware.wait()
        on_epoch(history)
    network.load_state_dict(learner.result.state_dict())
    network.cpu().eval()
    return history


def epochs_done(checkpoint: Path) -> int:
    """How many epochs a checkpoint holds; 0 where there is none."""
    return len(_read(checkpoint)["history"]) if checkpoint.exists() else 0


def _read(checkpoint: Path) -> dict[str, Any]:
    """A checkpoint's content in the processor's memory: a GPU's may be read where there is none."""
    content: dict[str, Any] = torch.load(checkpoint, map_location="cpu", weights_only=True)
    return content


class _Learner:
    """A network with what its learning needs; ``state_dict`` of some of its parts is a checkpoint."""

    def __init__(
        self,
        network: nn.Module,
        train: FrameSet,
        augment: Callable[[Tensor], Tensor],
        plan: Plan,
        targets: Targets,
        *,
        hardware: Hardware,
    ) -> None:
        # 1.2 to 4 times as fast as the default order, measured on WeldNet
        self.network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.train, self.augment, self.plan, self.targets = train, augment, plan, targets
        self.hardware, self.images = hardware, hardware.hold(train.images)
        self.batches, self.passes = plan.batches(len(train)), plan.passes(len(train))
        steps = self.batches * self.passes  # an epoch
        self.optimizer, self.scheduler = optimizer(network, plan, len(train), steps)
        self.together = hardware.setup(network, self.optimizer)  # the same weights, and gradients shared
        self.average = average(network, plan.average_epochs * steps) if plan.average_epochs else None
        self.arithmetic = arithmetic(plan.precision, hardware.device)
        self.rounds = False  # the weights to int8's, in the last epochs
        self._saved = ["network", "optimizer", "scheduler", *(["average"] if self.average else [])]

    @property
    def result(self) -> nn.Module:
        """What counts: the average of the weights, where one is kept."""
        return self.average.module if self.average else self.network

    def epoch(self, number: int, on_batch: Callable[[int], None]) -> tuple[float, float, float]:
        """Mean loss, and accuracy on labelled views, as they were when learnt from; seconds of learning."""
        self.network.train()
        self.rounds = number > self.plan.epochs - self.plan.int8_epochs
        torch.manual_seed(self.plan.seed * 1_000_003 + number)  # a prime apart: no two seeds' epochs meet
        total, right, labelled, learning = 0.0, 0, 0, 0.0
        # Batches of nearly one size: a last batch of one frame would leave batch norm nothing to average.
        order = [
            rows
            for _ in range(self.passes)
            for rows in torch.randperm(len(self.train)).tensor_split(self.batches)
        ]
        self.hardware.reseed(self.plan.seed * 1_000_003 + number)
        for index, batch in enumerate(order, start=1):
            rows = self.hardware.own(batch)
            views = as_input(self.augment(self.images[rows].to(self.hardware.device)))
            labels = self.train.labels[rows].to(self.hardware.device)
            start = time.monotonic()
            logits, loss = self._step(views, labels)
            hits = int((logits.argmax(dim=1) == labels).sum())  # a GPU is done with the step only here
            learning += time.monotonic() - start
            if not math.isfinite(loss):
                names = ", ".join(self.train.frames[int(row)].name for row in batch)
                raise TrainingError(
                    f"the loss is {loss} in epoch {number}, batch {index} of {len(order)} ({names}): "
                    "lower training.learning_rate, or look at these frames"
                )
            total += loss * len(rows)
            right += hits
            labelled += int((labels >= 0).sum())
            on_batch(len(batch))
        sums = self.hardware.total(torch.tensor([total, right, labelled], dtype=torch.float64)).tolist()
        return sums[0] / (self.passes * len(self.train)), sums[1] / max(sums[2], 1), learning

    def _step(self, views: Tensor, labels: Tensor) -> tuple[Tensor, float]:
        """Logits and loss of one batch; the weights move only if the loss is a number."""
        views, order, share = _mix(views, self.plan.mixup)
        with rounded_weights(self.network) if self.rounds else nullcontext():
            with self.arithmetic():
                logits = self.together(views)
                truth = _shares(labels, logits.shape[1], self.plan.label_smoothing)
                targets = self.targets(views, share * truth + (1 - share) * truth[order])
            loss = F.cross_entropy(logits.float(), targets)
            told = self.hardware.worst(loss.item())
            if math.isfinite(told):
                self.optimizer.zero_grad()
                self.hardware.backward(loss)
        if math.isfinite(told):
            self.optimizer.step()
            self.scheduler.step()
            if self.average:
                self.average.update_parameters(self.network)
        return logits.detach(), told

    def assess(self, frames: FrameSet) -> tuple[float, float]:
        """Cross entropy and accuracy on prepared frames."""
        with self.arithmetic():
            probabilities = predict(self.result, frames.images)
        loss = F.nll_loss(probabilities.clamp_min(1e-12).log(), frames.labels).item()  # log of 0 is no loss
        return loss, float((probabilities.argmax(dim=1) == frames.labels).double().mean())

    def save(self, path: Path, history: list[Epoch]) -> None:
        content = {name: getattr(self, name).state_dict() for name in self._saved}
        save(content | {"history": [asdict(epoch) for epoch in history]}, path)

    def load(self, path: Path) -> list[Epoch]:
        content = _read(path)
        for name in self._saved:
            getattr(self, name).load_state_dict(content[name])
        return [Epoch(**epoch) for epoch in content["history"]]


def _mix(views: Tensor, alpha: float) -> tuple[Tensor, Tensor, float]:
    """Mixup (Zhang et al. 2018): each view blended with another, whose rows and own share come back, too."""
    order = torch.arange(len(views))
    if not alpha:
        return views, order, 1.0
    share = torch.distributions.Beta(alpha, alpha).sample().item()
    share = max(share, 1 - share)  # so the labels in their own order stay the larger part
    order = torch.randperm(len(views))
    return share * views + (1 - share) * views[order], order, share


def _shares(labels: Tensor, classes: int, smoothing: float) -> Tensor:
    """Class numbers int64[B] as shares float[B, classes]; a frame without a label (-1) has none of any."""
    known = (labels >= 0).unsqueeze(1)
    return (F.one_hot(labels.clamp_min(0), classes) * (1 - smoothing) + smoothing / classes) * known
