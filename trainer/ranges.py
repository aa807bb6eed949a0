"""How far a student's activations reach on training frames: what static int8 gives its levels to."""

from __future__ import annotations

from collections import defaultdict
from functools import partial

import torch
from torch import Tensor, nn

from trainer.weldnet import WeldNet

FRAMES = 64  # more move no range by a level
SAMPLES = 4096  # values of each map of each frame: enough for a percentile of all frames together


def observe(student: WeldNet, frames: Tensor) -> dict[str, Tensor]:
    """Magnitudes of a student's maps: for each module's name a sample and the peak of every frame, float32[n].

    Args:
        student: in evaluation mode.
        frames: uint8[N, 1, H, W], prepared.
    """
    seen: dict[str, list[Tensor]] = defaultdict(list)

    def note(name: str, _module: nn.Module, _inputs: object, output: Tensor) -> None:
        values = output.detach().abs().flatten()
        step = max(1, values.numel() // SAMPLES)
        seen[name] += [values[::step].clone(), values.max().view(1)]

    handles = [
        module.register_forward_hook(partial(note, name))
        for name, module in student.named_modules()
        if _is_quantized(name)
    ]
    try:
        with torch.inference_mode():
            for frame in frames.split(1):
                student(frame / 255)
    finally:
        for handle in handles:
            handle.remove()
    return {name: torch.cat(values) for name, values in seen.items()}
