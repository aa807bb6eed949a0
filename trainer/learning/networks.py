"""The networks of a run: each has its own seed, checkpoint and log."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict
from functools import partial

import torch
from torch import nn

from trainer.data.augmentation import Augmentation, BatchAugmentation
from trainer.data.frames import FrameSet
from trainer.errors import UsageError
from trainer.learning import batch_statistics, training
from trainer.learning.distillation import PseudoLabels
from trainer.learning.processes import Hardware
from trainer.learning.schedule import Hyperparameters
from trainer.learning.tensorboard import TensorBoard
from trainer.network.architectures import build
from trainer.network.initial_weights import InitialWeights
from trainer.recipe import Recipe
from trainer.run.folder import RunFolder
from trainer.run.progress import Progress

log = logging.getLogger(__name__)

LABELLING_COST_PER_TEACHER = 0.25  # of the cost of learning from a frame; measured, for the time estimate


def network_seeds(recipe: Recipe) -> dict[str, int]:
    """Return the seed of each network, for its initial weights, order and augmentations."""
    numbers = {"student": 0} if recipe.trains_student else {}
    numbers |= {f"teacher-{i}": i for i in range(1, recipe.ensemble.teachers + 1)}
    return {name: recipe.seed * 1000 + number for name, number in numbers.items()}


def refuse_too_many_processes(recipe: Recipe, frames: int, hardware: Hardware) -> None:
    """Refuse more processes than a batch has pairs of frames: batch norm needs two frames in each.

    Raises:
        UsageError: with the number of processes that are possible.
    """
    batches = _hyperparameters(recipe, "teacher-1", 0).batches(frames)
    smallest = frames // batches
    most = max(1, smallest // 2)
    if hardware.processes > most:
        raise UsageError(
            f"--devices and --nodes make {hardware.processes} processes, too many for batches of {smallest} "
            f"frames, of which each needs two: use at most {most}, or a larger training.batch_size"
        )


class Networks:
    """Trainer of the run's networks. The time estimate covers all networks that are not finished."""

    def __init__(
        self,
        recipe: Recipe,
        classes: int,
        start: InitialWeights,
        hardware: Hardware,
        *,
        train: FrameSet,
        valid: FrameSet,
        folder: RunFolder,
        progress: Progress,
    ) -> None:
        """Take the run's parts.

        Args:
            recipe: shape, augmentation, schedule, ensemble, seed.
            classes: number of outputs.
            start: initial weights of every network.
            hardware: the processes that learn.
            train: frames as kept for augmentation.
            valid: prepared frames, only for the curves.
            folder: gets checkpoints and logs.
            progress: advanced after every batch.
        """
        self._classes, self._start = classes, start
        kind = Augmentation if hardware.device.type == "cpu" else BatchAugmentation
        self._augment = kind(*recipe.network.view, **recipe.augmentation.model_dump())
        self._recipe, self._frames, self._valid = recipe, train, valid
        self._folder, self._progress, self._hardware = folder, progress, hardware
        self._hyperparameters = {
            name: _hyperparameters(recipe, name, seed) for name, seed in network_seeds(recipe).items()
        }
        self._costs = dict.fromkeys(self._hyperparameters, 1.0)
        self._costs["student"] = 1 + LABELLING_COST_PER_TEACHER * recipe.ensemble.teachers
        self._progress.begin(
            "training", sum(self._frames_ahead(name, len(train)) for name in self._hyperparameters)
        )

    def train_teachers(self) -> list[nn.Module]:
        """Train the teachers (Algorithm 1, lines 1 to 7). They stay on the device, to label frames there."""
        device = self._hardware.device
        return [
            self._train(name, self._frames).to(device) for name in self._hyperparameters if name != "student"
        ]

    def train_student(self, teachers: Sequence[nn.Module], train: FrameSet) -> nn.Module:
        """Train the student (Algorithm 1, lines 8 to 14). Frames of ``train`` may have no label."""
        self._progress.begin("training", self._frames_ahead("student", len(train)))
        ensemble, share = self._recipe.ensemble, self._recipe.distillation.true_labels
        labels = PseudoLabels(teachers, kind=ensemble.kind, k=ensemble.k, true_labels=share)
        return self._train("student", train, labels)

    def _train(
        self, name: str, frames: FrameSet, targets: training.Targets = training.true_labels
    ) -> nn.Module:
        hyperparameters = self._hyperparameters[name]
        self._progress.rename(name)
        torch.manual_seed(hyperparameters.seed)
        network = build(self._recipe.network, self._classes)
        self._start.load_into(network)
        checkpoint = self._folder.checkpoint(name)
        done = training.epochs_done(checkpoint)
        writes_curves = self._hardware.leader and done < hyperparameters.epochs
        with TensorBoard(self._folder.tensorboard(name)) if writes_curves else nullcontext() as tensorboard:
            training.fit(
                network,
                frames,
                self._augment,
                hyperparameters,
                checkpoint=checkpoint,
                targets=targets,
                valid=self._valid,
                hardware=self._hardware,
                on_batch=lambda count: self._progress.advance(count * self._costs[name]),
                on_epoch=partial(self._log_epoch, name, tensorboard),
            )
        if self._recipe.network.grow:
            batch_statistics.recompute(
                network.to(self._hardware.device), frames.images, *self._recipe.network.size
            )
        return network.cpu()

    def _log_epoch(self, name: str, tensorboard: TensorBoard | None, history: list[training.Epoch]) -> None:
        if tensorboard is None:  # only the leader logs
            return
        self._folder.write_log(name, [asdict(epoch) for epoch in history])
        last = history[-1]
        tensorboard.write(history)
        log.info(
            "%s epoch %d/%d  loss %.3f  train %.1f%%  valid %.1f%%  %.1f s  %s",
            name,
            last.epoch,
            self._hyperparameters[name].epochs,
            last.train_loss,
            100 * last.train_accuracy,
            100 * (last.valid_accuracy or 0),
            last.seconds,
            self._progress.time_left(),
        )

    def _frames_ahead(self, name: str, frames: int) -> float:
        """Return the frames that a network still has to learn from, weighted by their cost."""
        hyperparameters = self._hyperparameters[name]
        epochs = hyperparameters.epochs - training.epochs_done(self._folder.checkpoint(name))
        return epochs * hyperparameters.passes(frames) * frames * self._costs[name]


def _hyperparameters(recipe: Recipe, name: str, seed: int) -> Hyperparameters:
    own: dict[str, float] = {"seed": seed}
    if name == "student":
        own |= {"epochs": recipe.distillation.epochs, "int8_epochs": recipe.distillation.int8_epochs}
        if recipe.distillation.mixup is not None:
            own["mixup"] = recipe.distillation.mixup
    return Hyperparameters(**recipe.training.model_dump() | own)
