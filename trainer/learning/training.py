"""Training of one network (section 3.3), epoch by epoch. A run that was killed ends with the same weights.

Every random number of an epoch (order, augmentation) follows from the seed and the number of the epoch. So a
checkpoint holds the weights, the optimizer and the schedule, but no state of a random generator.
"""

from __future__ import annotations

import math
import pickle
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypedDict

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from trainer.data.frames import FrameSet
from trainer.errors import RunError, TrainingError
from trainer.learning.imbalance import adjustment, balanced_rows
from trainer.learning.processes import Hardware
from trainer.learning.rounded_weights import rounded_weights
from trainer.learning.schedule import Hyperparameters, autocast, make_optimizer, moving_average
from trainer.learning.soft_targets import class_shares, mix
from trainer.network import archives
from trainer.network.prediction import as_input, predict
from trainer.run.saving import save

SEEDS_PER_NETWORK = 1_000_003  # one per epoch: more than any training has epochs

Targets = Callable[[Tensor, Tensor], Tensor]  # (views, true labels as shares) → soft labels


@dataclass(frozen=True)
class Epoch:
    """One line of the log. Shares run from 0 to 1; ``valid_*`` is None if no frames are held out."""

    epoch: int
    learning_rate: float
    train_loss: float
    train_accuracy: float
    valid_loss: float | None
    valid_accuracy: float | None
    seconds: float
    learning_seconds: float  # of these, in networks and optimizer; the rest is overhead


class Restart(TypedDict):
    """A restart of a network that had not learnt."""

    why: str
    then: str  # the change with which it began again


def true_labels(views: Tensor, truth: Tensor) -> Tensor:
    """Return the targets of a teacher: the true labels."""
    return truth


def fit(
    network: nn.Module,
    train: FrameSet,
    augment: Callable[[Tensor], Tensor],
    hyperparameters: Hyperparameters,
    *,
    checkpoint: Path,
    targets: Targets = true_labels,
    valid: FrameSet | None = None,
    hardware: Hardware | None = None,
    restarts: Sequence[Restart] = (),
    before_epoch: Callable[[int, nn.Module], None] = lambda done, learnt: None,
    on_batch: Callable[[int], None] = lambda frames: None,
    on_epoch: Callable[[list[Epoch]], None] = lambda history: None,
) -> list[Epoch]:
    """Train ``network`` in place, from ``checkpoint`` if it exists.

    Args:
        network: frames ``[B, 1, H, W]`` from 0 to 1 → logits.
        train: frames as kept for augmentation.
        augment: kept frames → views, both uint8.
        hyperparameters: how to learn.
        checkpoint: file to write after each epoch, whole or not at all.
        targets: soft labels for the cross entropy: the true labels, or an ensemble's for the same views.
        valid: prepared frames, only for the curves.
        hardware: the processes that learn; None: one, on one device.
        restarts: of this network so far, for the checkpoint. One of an earlier attempt is not resumed.
        before_epoch: called before each epoch with the number of epochs so far and the network to keep; an
            error from it ends the training.
        on_batch: called after each step with its number of frames.
        on_epoch: called after each epoch of this process with the whole history.

    Returns:
        The whole history, with the epochs before a restart. The network ends on the CPU. If weights are
        averaged, it ends with the average, and the curves show the average.

    Raises:
        TrainingError: the loss is not a number; the message names epoch, batch and its frames.
    """
    hardware = hardware or Hardware()
    learner = Learner(network, train, augment, hyperparameters, targets, hardware=hardware)
    history = learner.load(checkpoint) if len(restarts_done(checkpoint)) == len(restarts) else []
    for number in range(len(history) + 1, hyperparameters.epochs + 1):
        before_epoch(number - 1, learner.learnt)
        history.append(learner.epoch(number, valid, on_batch))
        if hardware.leader:
            learner.save(checkpoint, history, restarts)
        hardware.wait()
        on_epoch(history)
    network.load_state_dict(learner.learnt.state_dict())
    network.cpu().eval()
    return history


def epochs_done(checkpoint: Path) -> int:
    """Return the number of epochs in a checkpoint; 0 if there is no checkpoint."""
    return len(read_checkpoint(checkpoint)["history"]) if checkpoint.exists() else 0


def restarts_done(checkpoint: Path) -> list[Restart]:
    """Return the restarts before the attempt in a checkpoint; none if there is no checkpoint."""
    return list(read_checkpoint(checkpoint).get("restarts", ())) if checkpoint.exists() else []


def read_checkpoint(checkpoint: Path) -> dict[str, Any]:
    """Read a checkpoint into the CPU's memory, so that a GPU's checkpoint resumes without a GPU.

    Raises:
        RunError: the file is damaged.
    """
    damaged = RunError(
        f"{checkpoint}: is damaged, as after a power cut; remove it, and the same command trains this "
        "network again"
    )
    if not archives.is_whole(checkpoint):
        raise damaged
    try:
        content: dict[str, Any] = torch.load(checkpoint, map_location="cpu", weights_only=True)
        content["history"]
    except (RuntimeError, EOFError, KeyError, TypeError, pickle.UnpicklingError):
        raise damaged from None
    return content


class Learner:
    """A network in training, with optimizer, schedule and the average of its weights."""

    def __init__(
        self,
        network: nn.Module,
        train: FrameSet,
        augment: Callable[[Tensor], Tensor],
        hyperparameters: Hyperparameters,
        targets: Targets,
        *,
        hardware: Hardware,
    ) -> None:
        # 1.2 to 4 times as fast as the default memory order, measured on WeldNet
        self._network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._train, self._augment, self._targets = train, augment, targets
        self._hyperparameters, self._hardware = hyperparameters, hardware
        self._images = hardware.preload(train.images)
        self._optimizer, self._scheduler = make_optimizer(network, hyperparameters, len(train))
        # It shares the weights, and averages gradients over the processes.
        self._shared_network = hardware.setup(network, self._optimizer)
        self._average = None
        if hyperparameters.average_epochs:
            steps = hyperparameters.average_epochs * hyperparameters.steps_per_epoch(len(train))
            self._average = moving_average(network, steps)
        self._autocast = autocast(hyperparameters.precision, hardware.device)

    @property
    def learnt(self) -> nn.Module:
        """The network to keep: the average of the weights, if there is one."""
        return self._average.module if self._average else self._network

    def epoch(self, number: int, valid: FrameSet | None, on_batch: Callable[[int], None]) -> Epoch:
        """Train one epoch; the leader also measures loss and accuracy on the held-out frames.

        Training loss and accuracy are means over the epoch. Each view counts as it was when it was learnt.
        """
        start = time.monotonic()
        learning_rate = float(self._scheduler.get_last_lr()[0])
        train_loss, train_accuracy, learning_seconds = self._learn(number, on_batch)
        valid_loss, valid_accuracy = None, None
        if valid is not None and self._hardware.leader:
            valid_loss, valid_accuracy = self._assess(valid)
        return Epoch(
            number,
            learning_rate,
            train_loss,
            train_accuracy,
            valid_loss,
            valid_accuracy,
            time.monotonic() - start,
            learning_seconds,
        )

    def save(self, checkpoint: Path, history: list[Epoch], restarts: Sequence[Restart]) -> None:
        """Write the checkpoint, whole or not at all."""
        content = {name: part.state_dict() for name, part in self._saved_parts().items()}
        content["history"] = [asdict(epoch) for epoch in history]
        save(content | {"restarts": list(restarts)}, checkpoint)

    def load(self, checkpoint: Path) -> list[Epoch]:
        """Resume from a checkpoint, and return the epochs that it holds; none without a checkpoint."""
        if not checkpoint.exists():
            return []
        content = read_checkpoint(checkpoint)
        for name, part in self._saved_parts().items():
            part.load_state_dict(content[name])
        return [Epoch(**epoch) for epoch in content["history"]]

    def _saved_parts(self) -> dict[str, Any]:
        """Return the parts whose state is in a checkpoint, by their names in the file."""
        parts = {"network": self._network, "optimizer": self._optimizer, "scheduler": self._scheduler}
        return parts | ({"average": self._average} if self._average else {})

    def _learn(self, number: int, on_batch: Callable[[int], None]) -> tuple[float, float, float]:
        """Take the steps of an epoch; return mean loss, accuracy, and seconds in networks and optimizer."""
        self._network.train()
        rounds_weights = number > self._hyperparameters.epochs - self._hyperparameters.int8_epochs
        seed = self._hyperparameters.seed * SEEDS_PER_NETWORK + number
        torch.manual_seed(seed)
        batches = self._shuffled_batches()
        self._hardware.reseed(seed)
        loss_sum, right, labelled, learning_seconds = 0.0, 0, 0, 0.0
        for index, batch in enumerate(batches, start=1):
            rows = self._hardware.shard(batch)
            views = as_input(self._augment(self._images[rows].to(self._hardware.device)))
            labels = self._train.labels[rows].to(self._hardware.device)
            start = time.monotonic()
            weight = self._hardware.weight(len(rows), len(batch))
            logits, loss = self._step(views, labels, weight=weight, rounds_weights=rounds_weights)
            right += int((logits.argmax(dim=1) == labels).sum())  # waits until a GPU has finished the step
            learning_seconds += time.monotonic() - start
            if not math.isfinite(loss):
                names = ", ".join(self._train.frames[int(row)].name for row in batch)
                raise TrainingError(
                    f"the loss is {loss} in epoch {number}, batch {index} of {len(batches)} ({names}): "
                    "lower training.learning_rate, or look at these frames"
                )
            loss_sum += loss * len(rows)
            labelled += int((labels >= 0).sum())
            on_batch(len(batch))
        sums = torch.tensor([loss_sum, right, labelled], dtype=torch.float64)
        loss_sum, right_sum, labelled_sum = self._hardware.sum_over_processes(sums).tolist()
        views_seen = self._hyperparameters.passes(len(self._train)) * len(self._train)
        return loss_sum / views_seen, right_sum / max(labelled_sum, 1), learning_seconds

    def _shuffled_batches(self) -> list[Tensor]:
        """Draw the rows of each batch of an epoch.

        Batches have nearly the same size, because batch norm cannot average a last batch of one frame.
        """
        frames, exponent = len(self._train), self._hyperparameters.balanced_sampling
        return [
            rows
            for _ in range(self._hyperparameters.passes(frames))
            for rows in (
                balanced_rows(self._train.labels, exponent) if exponent else torch.randperm(frames)
            ).tensor_split(self._hyperparameters.batches(frames))
        ]

    def _step(
        self, views: Tensor, labels: Tensor, *, weight: float, rounds_weights: bool
    ) -> tuple[Tensor, float]:
        """Learn from one batch; return logits and loss. The weights change only if the loss is a number.

        ``weight`` is of this process's share of the batch (:meth:`Hardware.weight`).
        """
        views, partners, share = mix(views, self._hyperparameters.mixup)
        with rounded_weights(self._network) if rounds_weights else nullcontext():
            with self._autocast(views.shape[-1]):
                logits = self._shared_network(views)
                truth = class_shares(labels, logits.shape[1], self._hyperparameters.label_smoothing)
                targets = self._targets(views, share * truth + (1 - share) * truth[partners])
            added = adjustment(self._train.labels, logits.shape[1], self._hyperparameters)
            adjusted = logits.float() if added is None else logits.float() + added.to(logits.device)
            mean_loss = F.cross_entropy(adjusted, targets)
            loss = self._hardware.loss_or_nan(mean_loss.item())
            if not math.isfinite(loss):
                return logits.detach(), loss
            self._optimizer.zero_grad()
            self._hardware.backward(weight * mean_loss)
        self._optimizer.step()
        self._scheduler.step()
        if self._average:
            self._average.update_parameters(self._network)
        return logits.detach(), loss

    def _assess(self, frames: FrameSet) -> tuple[float, float]:
        """Return cross entropy and accuracy on prepared frames."""
        with self._autocast(frames.images.shape[-1]):
            probabilities = predict(self.learnt, frames.images)
        loss = F.nll_loss(probabilities.clamp_min(1e-12).log(), frames.labels).item()  # log of 0 is infinite
        return loss, float((probabilities.argmax(dim=1) == frames.labels).double().mean())
