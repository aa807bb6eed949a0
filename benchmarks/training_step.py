"""Seconds of a training step by arithmetic and memory order, in turns, and of the augmentation.

    python benchmarks/training_step.py [--size 128] [--batch 32] [--rounds 15] [--device cuda]

It prints medians of each round's ratio to fp32 in torch's default order. These ratios also hold on a busy
machine. On a GPU, the frames are in its memory and are augmented there, as in training. fp32 is TF32 in
convolutions there, as is torch's default.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Annotated, Literal

import torch
import typer
from rich.console import Console
from rich.table import Table
from torch.nn import functional as F

from trainer.data.augmentation import Augmentation, BatchAugmentation
from trainer.learning.schedule import autocast
from trainer.network.weldnet import WeldNet, WeldNetConfig

Precision = Literal["fp32", "bf16"]
MODES: dict[str, tuple[Precision, torch.memory_format]] = {
    "fp32, default order": ("fp32", torch.contiguous_format),
    "fp32, channels-last": ("fp32", torch.channels_last),
    "bf16, channels-last": ("bf16", torch.channels_last),
}


def step(
    size: int, batch: int, precision: Precision, order: torch.memory_format, device: torch.device
) -> Callable[[], None]:
    """One step of SGD on random frames, as a function."""
    network = WeldNet(WeldNetConfig(classes=7, height=size, width=size)).to(device, memory_format=order)
    views = torch.rand(batch, 1, size, size, device=device).contiguous(memory_format=order)
    labels = torch.arange(batch, device=device) % 7
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, nesterov=True)
    context = autocast(precision, device)

    def once() -> None:
        with context(size):
            logits = network(views)
        optimizer.zero_grad()
        F.cross_entropy(logits.float(), labels).backward()
        optimizer.step()

    return once


def augmentation(size: int, batch: int, device: torch.device) -> Callable[[], None]:
    """The views of one step, made as recipe 'best' does, as a function."""
    kept = round(size / 0.775)
    frames = torch.randint(256, (batch, 1, kept, kept), dtype=torch.uint8, device=device)
    augment = (Augmentation if device.type == "cpu" else BatchAugmentation)(
        size, size, crop=(0.775, 1), aspect=1.33, rotation=0, flip=0.5, brightness=0.3, contrast=0.3
    )
    return lambda: (augment(frames), None)[1]


def main(
    size: Annotated[int, typer.Option(min=64, help="pixels per side")] = 128,
    batch: Annotated[int, typer.Option(min=2, help="frames per step")] = 32,
    rounds: Annotated[int, typer.Option(min=5, help="number of times that each is timed")] = 15,
    device: Annotated[str, typer.Option(help="cpu, or a GPU: cuda")] = "cpu",
) -> None:
    """Measure and print a table."""
    if device not in ("cpu", "cuda") or (device == "cuda" and not torch.cuda.is_available()):
        raise typer.BadParameter(f"{device}: this torch has no such device; take cpu", param_hint="--device")
    place = torch.device(device)
    works = {name: step(size, batch, *mode, place) for name, mode in MODES.items()}
    works["augmentation"] = augmentation(size, batch, place)
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for number in range(rounds + 2):  # the first two rounds load kernels and memory
        for name, work in works.items():
            start = time.perf_counter()
            work()
            if place.type == "cuda":
                torch.cuda.synchronize(place)  # calls return before the GPU has finished
            if number >= 2:
                seconds[name].append(time.perf_counter() - start)
    base = seconds[next(iter(MODES))]
    gpu = place.type == "cuda"
    where = torch.cuda.get_device_name(place) if gpu else f"{torch.get_num_threads()} threads"
    title = f"batch {batch}, {size}×{size}, {where}, {rounds} rounds"
    table = Table("step", "frames/s", "of the first one's time", "quartiles", title=title)
    for name, times in seconds.items():
        low, middle, high = statistics.quantiles([t / b for t, b in zip(times, base, strict=True)], n=4)
        pace = f"{batch / statistics.median(times):.0f}"
        table.add_row(name, pace, f"{middle:.2f}", f"{low:.2f} to {high:.2f}")
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
