"""The run's networks: each from its own seed, each resumed from its own checkpoint, each logged."""

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
from trainer.learning import batch_statistics, training
from trainer.learning.distillation import PseudoLabels
from trainer.learning.processes import Hardware
from trainer.learning.schedule import Plan
from trainer.learning.tensorboard import Board
from trainer.network.architectures import build
from trainer.network.initial_weights import InitialWeights
from trainer.recipe import Recipe
from trainer.run.folder import RunFolder
from trainer.run.progress import Progress

log = logging.getLogger(__name__)

_TEACHER_COST = 0.25  # of labelling a frame against learning from it, measured: for the estimate alone


def network_seeds(recipe: Recipe) -> dict[str, int]:
    """Seed of each network's initial weights, order and augmentations."""
    numbers = {"student": 0} if recipe.trains_student else {}
    numbers |= {f"teacher-{i}": i for i in range(1, recipe.ensemble.teachers + 1)}
    return {name: recipe.seed * 1000 + number for name, number in numbers.items()}


class Networks:
    """Trains them; the progress estimate covers all that are still to be trained."""

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
            start: the weights that each begins with.
            hardware: where they learn.
            train: frames as kept for augmentation.
            valid: prepared frames, for the curves alone.
            folder: keeps checkpoints and logs.
            progress: told of every batch.
        """
        self._classes, self._start = classes, start
        kind = Augmentation if hardware.device.type == "cpu" else BatchAugmentation
        self._augment = kind(*recipe.network.view, **recipe.augmentation.model_dump())
        self._recipe, self._train, self._valid = recipe, train, valid
        self._folder, self._progress, self._hardware = folder, progress, hardware
        self._plans = {name: self._plan(name, seed) for name, seed in network_seeds(recipe).items()}
        self._costs = dict.fromkeys(self._plans, 1.0)
        self._costs["student"] = 1 + _TEACHER_COST * recipe.ensemble.teachers
        self._progress.begin("training", sum(self._cost_ahead(name, len(train)) for name in self._plans))

    def train_teachers(self) -> list[nn.Module]:
        """Algorithm 1, lines 1 to 7; they stay where they learnt, for they have more frames to answer for."""
        device = self._hardware.device
        return [self._fit(name, self._train).to(device) for name in self._plans if name != "student"]

    def train_student(self, teachers: Sequence[nn.Module], train: FrameSet) -> nn.Module:
        """Algorithm 1, lines 8 to 14; ``train`` may hold frames without a label, too."""
        self._progress.begin("training", self._cost_ahead("student", len(train)))
        ensemble, share = self._recipe.ensemble, self._recipe.distillation.true_labels
        labels = PseudoLabels(teachers, kind=ensemble.kind, k=ensemble.k, true_labels=share)
        return self._fit("student", train, labels)

    def _fit(self, name: str, train: FrameSet, targets: training.Targets = training.true_labels) -> nn.Module:
        plan = self._plans[name]
        self._progress.now(name)
        torch.manual_seed(plan.seed)
        network = build(self._recipe.network, self._classes)
        self._start.load_into(network)
        checkpoint = self._folder.checkpoint(name)
        done = training.epochs_done(checkpoint)
        draws = self._hardware.leader and done < plan.epochs
        with Board(self._folder.board(name)) if draws else nullcontext() as board:
            training.fit(
                network,
                train,
                self._augment,
                plan,
                checkpoint=checkpoint,
                targets=targets,
                valid=self._valid,
                hardware=self._hardware,
                on_batch=lambda frames: self._progress.advance(frames * self._costs[name]),
                on_epoch=partial(self._log_epoch, name, board),
            )
        if self._recipe.network.grow:
            batch_statistics.recompute(
                network.to(self._hardware.device), train.images, *self._recipe.network.size
            )
        return network.cpu()

    def _log_epoch(self, name: str, board: Board | None, history: list[training.Epoch]) -> None:
        if board is None:  # of the processes that learn together one tells
            return
        self._folder.write_log(name, [asdict(epoch) for epoch in history])
        last = history[-1]
        board.show(history)
        log.info(
            "%s epoch %d/%d  loss %.3f  train %.1f%%  valid %.1f%%  %.1f s  %s",
            name,
            last.epoch,
            self._plans[name].epochs,
            last.train_loss,
            100 * last.train_accuracy,
            100 * (last.valid_accuracy or 0),
            last.seconds,
            self._progress.left(),
        )

    def _plan(self, name: str, seed: int) -> Plan:
        own: dict[str, float] = {}
        if name == "student":
            distillation = self._recipe.distillation
            own = {"epochs": distillation.epochs, "int8_epochs": distillation.int8_epochs}
            own |= {} if distillation.mixup is None else {"mixup": distillation.mixup}
        return Plan(**self._recipe.training.model_dump() | own, seed=seed)

    def _cost_ahead(self, name: str, frames: int) -> float:
        """Frames that a network has still to learn from; a student's cost its teachers' labels, too."""
        plan = self._plans[name]
        epochs = plan.epochs - training.epochs_done(self._folder.checkpoint(name))
        return epochs * plan.passes(frames) * frames * self._costs[name]
