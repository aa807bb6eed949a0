"""How weights move: the schedule, the average of the weights, the arithmetic."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler, MultiStepLR, OneCycleLR
from torch.optim.swa_utils import AveragedModel

_CPU = torch.device("cpu")
_FEWEST = 8  # frames a batch: below that, batch norm's statistics are mostly noise


@dataclass(frozen=True)
class Plan:
    """How to learn; see :class:`trainer.recipe.Training` for units and reasons."""

    epochs: int
    min_steps: int
    batch_size: int
    schedule: Literal["step", "one_cycle"]
    learning_rate: float
    milestones: list[int]
    gamma: float
    momentum: float
    nesterov: bool
    weight_decay: float
    label_smoothing: float
    mixup: float
    average_epochs: float
    precision: Literal["fp32", "bf16", "auto"]
    seed: int
    int8_epochs: int = 0

    def batches(self, frames: int) -> int:
        """Batches that a pass over so many frames takes."""
        return math.ceil(frames / self._size(frames))

    def rate(self, frames: int) -> float:
        """The learning rate for so many frames: smaller batches take shorter steps (Goyal et al. 2017)."""
        return self.learning_rate * min(1.0, self._size(frames) / self.batch_size)

    def _size(self, frames: int) -> int:
        """Frames in a batch.

        Where ``min_steps`` is set, it is at most an eighth of the frames: batches of half a small data set
        would cost as much a step as those of a large one, and hardly differ from each other.
        """
        return min(self.batch_size, max(_FEWEST, frames // 8)) if self.min_steps else self.batch_size

    def passes(self, frames: int) -> int:
        """Passes over so many frames in an epoch, so that all epochs have ``min_steps`` steps at least."""
        return max(1, math.ceil(self.min_steps / (self.epochs * self.batches(frames))))


def optimizer(
    network: nn.Module, plan: Plan, frames: int, steps: int
) -> tuple[torch.optim.Optimizer, LRScheduler]:
    """SGD and its schedule for so many frames; ``steps`` is an epoch's."""
    rate = plan.rate(frames)
    sgd = torch.optim.SGD(
        network.parameters(),
        lr=rate,
        momentum=plan.momentum,
        nesterov=plan.nesterov,
        weight_decay=plan.weight_decay,
    )
    if plan.schedule == "one_cycle":
        total = plan.epochs * steps + 1  # one more: it is stepped after the last batch, too
        return sgd, OneCycleLR(sgd, rate, total_steps=total, cycle_momentum=False)
    return sgd, MultiStepLR(sgd, [epoch * steps for epoch in plan.milestones], plan.gamma)


def average(network: nn.Module, steps: float) -> AveragedModel:
    """An exponential moving average of weights and batch-norm statistics; ``steps`` is its time constant.

    Its bias is corrected as Adam's is (Kingma and Ba 2015): a plain average begins at the random weights
    and still holds a share of (1 - 1/steps)^t of them after t steps.
    """
    keep = 1 - 1 / max(steps, 1)

    @torch.no_grad()
    def move(averaged: Sequence[Tensor], current: Sequence[Tensor], count: Tensor | int) -> None:
        share = (1 - keep) / (1 - keep ** (int(count) + 1))
        for mean, value in zip(averaged, current, strict=True):
            if mean.is_floating_point():
                mean.lerp_(value, share)
            else:
                mean.copy_(value)  # batch norm's count of batches

    return AveragedModel(network, multi_avg_fn=move, use_buffers=True)


def arithmetic(
    precision: Literal["fp32", "bf16", "auto"], device: torch.device = _CPU
) -> Callable[[], torch.autocast]:
    """The context in which networks compute on a device.

    ``auto`` is bf16 where that is quicker with WeldNet (benchmarks/training_step.py): on a processor
    with AMX or AVX-512's BF16, where a step took 0.64 and 0.57 of fp32's time. On a GPU fp32 stays, whose
    convolutions are TF32 there: with bf16 a step took 1.04 to 1.16 times as long on an H200.
    """
    able = torch.cpu.get_capabilities() if device.type == "cpu" else {}
    quick = bool(able.get("amx_bf16") or able.get("avx512_bf16"))
    bf16 = precision == "bf16" or (precision == "auto" and quick)
    return lambda: torch.autocast(device.type, torch.bfloat16, enabled=bf16)
