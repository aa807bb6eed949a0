"""The networks of a run: each has its own seed, checkpoint and log."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import asdict
from functools import partial

import torch
from torch import Tensor, nn

from trainer.data.augmentation import Augmentation, BatchAugmentation
from trainer.data.frames import FrameSet
from trainer.errors import TrainingError, UsageError
from trainer.learning import batch_statistics, imbalance, pretrained_teacher, training
from trainer.learning.distillation import PseudoLabels
from trainer.learning.processes import Hardware
from trainer.learning.restarts import Attempts, LearningCheck, NotLearnt
from trainer.learning.schedule import Hyperparameters
from trainer.learning.tensorboard import TensorBoard
from trainer.network.architectures import build
from trainer.network.initial_weights import InitialWeights
from trainer.network.lite0 import Classifier
from trainer.recipe import Recipe
from trainer.run.folder import RunFolder
from trainer.run.progress import Progress

log = logging.getLogger(__name__)

LABELLING_COST_PER_TEACHER = 0.25  # of the cost of learning from a frame; measured, for the time estimate


def network_seeds(recipe: Recipe) -> dict[str, int]:
    """Return the seed of each network, for its initial weights, order and augmentations."""
    numbers = {"student": 0} if recipe.trains_student else {}
    numbers |= {f"teacher-{i}": i for i in range(1, recipe.ensemble.teachers + 1)}
    if recipe.ensemble.pretrained != "none":
        numbers[pretrained_teacher.NAME] = pretrained_teacher.SEED_NUMBER
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
    """Trainer of the run's networks. The time estimate covers all networks that are not finished.

    ``restarts`` has, by network, why it began again and with what.
    """

    def __init__(
        self,
        recipe: Recipe,
        classes: int,
        start: InitialWeights,
        hardware: Hardware,
        *,
        train: FrameSet,
        valid: FrameSet | None,
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
            valid: prepared frames, only for the curves; None: nothing is held out.
            folder: gets checkpoints and logs.
            progress: advanced after every batch.
        """
        self.restarts: dict[str, list[training.Restart]] = {}
        self._classes, self._start = classes, start
        kind = Augmentation if hardware.device.type == "cpu" else BatchAugmentation
        self._augment = kind(*recipe.network.view, **recipe.augmentation.model_dump())
        self._recipe, self._frames, self._valid = recipe, train, valid
        self._folder, self._progress, self._hardware = folder, progress, hardware
        self._check = LearningCheck(train, classes, recipe.network.view)
        self._hyperparameters = {
            name: _hyperparameters(recipe, name, seed) for name, seed in network_seeds(recipe).items()
        }
        self._costs = dict.fromkeys(self._hyperparameters, 1.0)
        self._costs["student"] = 1 + LABELLING_COST_PER_TEACHER * recipe.ensemble.teachers
        self._pretrained = pretrained_teacher.kind_for(recipe.ensemble.pretrained, len(train))
        if self._pretrained:
            self._prepare_pretrained(self._pretrained)
        self._progress.begin(
            "training", sum(self._frames_ahead(name, len(train)) for name in self._hyperparameters)
        )

    def _prepare_pretrained(self, kind: pretrained_teacher.Kind) -> None:
        """Change the hyperparameters of the pretrained teacher, and the costs that it makes."""
        name, cost = pretrained_teacher.NAME, pretrained_teacher.pass_cost(self._recipe.network.view)
        changes = pretrained_teacher.changes(kind, self._recipe.training)
        self._hyperparameters[name] = Hyperparameters(**self._hyperparameters[name].model_dump() | changes)
        passes = pretrained_teacher.PASSES_PER_STEP
        if kind == "probe":
            passes = 1 + pretrained_teacher.views_per_frame(len(self._frames))
        self._costs[name] = cost * passes
        self._costs["student"] += cost

    def train_teachers(self) -> list[nn.Module]:
        """Train the teachers (Algorithm 1, lines 1 to 7). They stay on the device, to label frames there."""
        device = self._hardware.device
        networks = {
            name: self._fit_probe() if self._is_probe(name) else self._train(name, self._frames)
            for name in self._hyperparameters
            if name != "student"
        }
        return [network.to(device) for network in networks.values()]

    def train_student(self, teachers: Sequence[nn.Module], train: FrameSet) -> nn.Module:
        """Train the student (Algorithm 1, lines 8 to 14). Frames of ``train`` may have no label."""
        self._progress.begin("training", self._frames_ahead("student", len(train)))
        ensemble, share = self._recipe.ensemble, self._recipe.distillation.true_labels
        labels = PseudoLabels(
            teachers,
            kind=ensemble.kind,
            k=ensemble.k,
            true_labels=share,
            adjustment=imbalance.adjustment(train.labels, self._classes, self._recipe.training),
        )
        return self._train("student", train, labels)

    def _train(
        self, name: str, frames: FrameSet, targets: training.Targets = training.true_labels
    ) -> nn.Module:
        self._progress.rename(name)
        attempts = self._attempts(name)
        while (network := self._attempt(name, frames, targets, attempts)) is None:
            self._progress.extend(attempts.epochs * self._frames_per_epoch(name, len(frames)))
        if self._recipe.network.grow and name != pretrained_teacher.NAME:
            batch_statistics.recompute(
                network.to(self._hardware.device), frames.images, *self._recipe.network.size
            )
        return network.cpu()

    def _attempts(self, name: str) -> Attempts:
        """Return the attempts at a network so far; the pretrained teacher has only one."""
        restarts = self.restarts[name] = training.restarts_done(self._folder.checkpoint(name))
        limit = 0 if name == pretrained_teacher.NAME else self._recipe.training.restarts
        return Attempts(restarts, limit, self._recipe.network, self._start, self._hyperparameters[name])

    def _attempt(
        self, name: str, frames: FrameSet, targets: training.Targets, attempts: Attempts
    ) -> nn.Module | None:
        """Train a network as this attempt says; None if it has not learnt and should begin again."""
        start, hyperparameters = attempts.current()
        network = self._new_network(name, start, hyperparameters.seed)
        checkpoint = self._folder.checkpoint(name)
        done = training.epochs_done(checkpoint)
        writes_curves = self._hardware.leader and done < hyperparameters.epochs
        try:
            with TensorBoard(self._folder.tensorboard(name)) if writes_curves else nullcontext() as curves:
                training.fit(
                    network,
                    frames,
                    self._augment,
                    hyperparameters,
                    checkpoint=checkpoint,
                    targets=targets,
                    valid=self._valid,
                    hardware=self._hardware,
                    restarts=attempts.restarts,
                    before_epoch=partial(attempts.check, self._check, self._hardware),
                    on_batch=lambda count: self._progress.advance(count * self._costs[name]),
                    on_epoch=partial(self._log_epoch, name, curves),
                )
        except (NotLearnt, TrainingError) as error:
            line = attempts.begin_again(error)
            if self._hardware.leader:
                log.warning("%s has not learnt: %s", name, line)
            return None
        return network

    def _new_network(self, name: str, start: InitialWeights, seed: int) -> nn.Module:
        """Build a network with its initial weights."""
        torch.manual_seed(seed)
        if name == pretrained_teacher.NAME:
            classifier = Classifier(self._classes)
            if not self._folder.checkpoint(name).exists():
                self._fit_head(classifier)
            return classifier
        network = build(self._recipe.network, self._classes)
        start.load_into(network)
        return network

    def _is_probe(self, name: str) -> bool:
        return name == pretrained_teacher.NAME and self._pretrained == "probe"

    def _fit_probe(self) -> nn.Module:
        """Fit the pretrained teacher's last layer, and nothing else of it."""
        name, leader = pretrained_teacher.NAME, self._hardware.leader
        self._progress.rename(name)
        network, checkpoint = Classifier(self._classes), self._folder.checkpoint(name)
        writes_curves = leader and not checkpoint.exists()
        with TensorBoard(self._folder.tensorboard(name)) if writes_curves else nullcontext() as tensorboard:
            history = pretrained_teacher.train_probe(
                network,
                partial(self._fit_head, network, advance=self._advance_probe),
                checkpoint,
                labels=self._frames.labels,
                valid=self._valid,
                writes=leader,
            )
            self._hardware.wait()
            self._log_epoch(name, tensorboard, history)
        return network.cpu()

    def _fit_head(self, network: Classifier, advance: Callable[[int], None] = lambda frames: None) -> Tensor:
        logits = pretrained_teacher.fit_head(
            network,
            self._frames,
            self._augment,
            self._hyperparameters[pretrained_teacher.NAME].seed,
            device=self._hardware.device,
            advance=advance,
        )
        shift = imbalance.shift_of_linear_model(self._frames.labels, self._classes, self._recipe.training)
        if shift is not None:
            with torch.no_grad():
                network.head.bias.add_(shift.to(network.head.bias.device))
        return logits

    def _advance_probe(self, frames: int) -> None:
        self._progress.advance(frames * pretrained_teacher.pass_cost(self._recipe.network.view))

    def _log_epoch(self, name: str, tensorboard: TensorBoard | None, history: list[training.Epoch]) -> None:
        if tensorboard is None:  # only the leader logs
            return
        self._folder.write_log(name, [asdict(epoch) for epoch in history])
        last = history[-1]
        tensorboard.write(history)
        log.info(
            "%s epoch %d/%d  loss %.3f  train %.1f%%%s  %.1f s  %s",
            name,
            last.epoch,
            self._hyperparameters[name].epochs,
            last.train_loss,
            100 * last.train_accuracy,
            "" if last.valid_accuracy is None else f"  valid {100 * last.valid_accuracy:.1f}%",
            last.seconds,
            self._progress.time_left(),
        )

    def _frames_ahead(self, name: str, frames: int) -> float:
        """Return the frames that a network still has to learn from, weighted by their cost."""
        done = training.epochs_done(self._folder.checkpoint(name))
        return (self._hyperparameters[name].epochs - done) * self._frames_per_epoch(name, frames)

    def _frames_per_epoch(self, name: str, frames: int) -> float:
        return self._hyperparameters[name].passes(frames) * frames * self._costs[name]


def _hyperparameters(recipe: Recipe, name: str, seed: int) -> Hyperparameters:
    own: dict[str, float] = {"seed": seed}
    if name == "student":
        own |= {"epochs": recipe.distillation.epochs, "int8_epochs": recipe.distillation.int8_epochs}
        if recipe.distillation.mixup is not None:
            own["mixup"] = recipe.distillation.mixup
    return Hyperparameters(**recipe.training.model_dump() | own)
