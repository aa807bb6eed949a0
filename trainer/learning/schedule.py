"""Hyperparameters, the learning-rate schedule, the average of the weights, and the arithmetic."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler, MultiStepLR, OneCycleLR
from torch.optim.swa_utils import AveragedModel

from trainer.recipe import Training

_CPU = torch.device("cpu")
# Pixels of width at which WeldNet's last block gets maps of two columns. For these oneDNN (torch 2.13) leaves
# values of a strided bf16 convolution unset: losses are not numbers, or wrong.
MAX_NARROW = 64
MIN_FRAMES_PER_BATCH = 8  # with fewer, batch norm's statistics are mostly noise


class Hyperparameters(Training):
    """How one network learns: the recipe's ``training`` keys, and the network's own values."""

    seed: int  # of initial weights, order and augmentations
    int8_epochs: int = 0  # at the end, with weights rounded as int8 will round them
    optimizer: Literal["sgd", "adamw"] = "sgd"  # SGD is the paper's

    def batches(self, frames: int) -> int:
        """Return the number of batches in one pass over so many frames.

        Every batch has at least two frames: batch norm refuses one frame with a last map of one pixel.
        """
        return max(1, min(math.ceil(frames / self.frames_per_batch(frames)), frames // 2))

    def rate(self, frames: int) -> float:
        """Return the learning rate: smaller batches take smaller steps (Goyal et al. 2017)."""
        return self.learning_rate * min(1.0, self.frames_per_batch(frames) / self.batch_size)

    def frames_per_batch(self, frames: int) -> int:
        """Return the size of a batch.

        If ``min_steps`` is set, a batch is at most an eighth of the frames. Batches of half a small data set
        would cost as much per step as those of a large one, and would hardly differ from each other.
        """
        return (
            min(self.batch_size, max(MIN_FRAMES_PER_BATCH, frames // 8))
            if self.min_steps
            else self.batch_size
        )

    def passes(self, frames: int) -> int:
        """Return the passes per epoch that a training of at least ``min_steps`` steps needs."""
        return max(1, math.ceil(self.min_steps / (self.epochs * self.batches(frames))))

    def steps_per_epoch(self, frames: int) -> int:
        """Return the steps of SGD per epoch."""
        return self.batches(frames) * self.passes(frames)


def make_optimizer(
    network: nn.Module, hyperparameters: Hyperparameters, frames: int
) -> tuple[torch.optim.Optimizer, LRScheduler]:
    """Make the optimizer and its learning-rate schedule for so many frames."""
    rate, steps = hyperparameters.rate(frames), hyperparameters.steps_per_epoch(frames)
    weights, decay = network.parameters(), hyperparameters.weight_decay
    optimizer: torch.optim.Optimizer
    if hyperparameters.optimizer == "adamw":
        optimizer = torch.optim.AdamW(weights, lr=rate, weight_decay=decay)
    else:
        momentum, nesterov = hyperparameters.momentum, hyperparameters.nesterov
        optimizer = torch.optim.SGD(
            weights, lr=rate, momentum=momentum, nesterov=nesterov, weight_decay=decay
        )
    if hyperparameters.schedule == "one_cycle":
        total = hyperparameters.epochs * steps + 1  # one more: the last batch steps it as well
        return optimizer, OneCycleLR(optimizer, rate, total_steps=total, cycle_momentum=False)
    milestones = [epoch * steps for epoch in hyperparameters.milestones]
    return optimizer, MultiStepLR(optimizer, milestones, hyperparameters.gamma)


def moving_average(network: nn.Module, steps: float) -> AveragedModel:
    """Make an exponential moving average of weights and batch-norm statistics, with a time constant in steps.

    Its bias is corrected as in Adam (Kingma and Ba 2015). A plain average begins at the random weights. After
    t steps, a share of (1 - 1/steps)^t of it would still be those.
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


def autocast(
    precision: Literal["fp32", "bf16", "auto"], device: torch.device = _CPU
) -> Callable[[int], torch.autocast]:
    """Return a function that opens the context in which networks compute frames of a width on a device.

    ``auto`` is bf16 if that is faster with WeldNet (benchmarks/training_step.py). On processors with AMX or
    AVX-512 BF16, a step took 0.64 and 0.57 of fp32's time. On a GPU ``auto`` is fp32, with TF32 in
    convolutions: with bf16, a step took 1.04 to 1.16 times as long on an H200. Frames of up to
    MAX_NARROW pixels' width are always fp32 on a CPU.
    """
    able = torch.cpu.get_capabilities() if device.type == "cpu" else {}
    quick = bool(able.get("amx_bf16") or able.get("avx512_bf16"))
    bf16 = precision == "bf16" or (precision == "auto" and quick)
    narrow = MAX_NARROW if device.type == "cpu" else 0
    return lambda width: torch.autocast(device.type, torch.bfloat16, enabled=bf16 and width > narrow)
