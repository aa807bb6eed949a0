"""Frames a second of networks on this processor, taken in turns so that a busy moment harms all alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

_ROUNDS = 7  # of which the median counts
_SECONDS = 0.1  # a round and network at least


def frozen(network: nn.Module, frame: Tensor) -> Callable[[Tensor], object]:
    """An fp32 network as one would deploy it: traced, frozen, channels-last."""
    network = network.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    with torch.inference_mode():
        traced: torch.jit.ScriptModule = torch.jit.trace(network, frame)  # type: ignore[no-untyped-call]
        ready: torch.jit.ScriptModule = torch.jit.freeze(traced)
    return ready


def frames_per_second(
    networks: Mapping[str, tuple[Callable[[Tensor], object], Tensor]],
) -> dict[str, float]:
    """Median frames a second of each network with its frame, one frame a call, on torch's current threads."""
    seconds: dict[str, list[float]] = {name: [] for name in networks}
    with torch.inference_mode():
        for network, frame in networks.values():
            for _ in range(3):  # first calls pack weights and find kernels
                network(frame)
        for _ in range(_ROUNDS):
            for name, (network, frame) in networks.items():
                seconds[name].append(_once(network, frame))
    return {name: 1 / statistics.median(times) for name, times in seconds.items()}


def _once(network: Callable[[Tensor], object], frame: Tensor) -> float:
    """Seconds a frame."""
    calls, start = 0, time.perf_counter()
    while (spent := time.perf_counter() - start) < _SECONDS:
        network(frame)
        calls += 1
    return spent / calls
