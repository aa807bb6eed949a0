"""Frames per second of networks on this processor, measured in turns, so that other load affects all."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor, nn

from inspector.network.metadata import ArtifactFile
from trainer.evaluation.judging import open_network
from trainer.network.architectures import build
from trainer.paper.runs import RunGroup
from trainer.recipe_file import load

_ROUNDS = 7  # per network; the median counts
_WARM_UP_CALLS = 3  # first calls pack weights and find kernels
_SECONDS_PER_ROUND = 0.1  # of each network, at least

Network = Callable[[Tensor], object]


def measure_groups(groups: Iterable[RunGroup]) -> dict[str, float]:
    """Measure each group's fp32 network and artifact together; the weights do not matter for it."""
    networks: dict[str, tuple[Network, Tensor]] = {}
    for group in groups:
        recipe = load(str(group.folder / "recipe.yaml"))
        frame = torch.randint(256, (1, 1, *recipe.network.size), dtype=torch.uint8)
        pixels = (frame / 255).contiguous(memory_format=torch.channels_last)
        networks[group.name] = frozen(build(recipe.network, group.classes), pixels), pixels
        if group.artifact:
            artifact = ArtifactFile.read(group.folder / group.artifact)
            networks[int8_name(group)] = open_network(artifact), frame
    return frames_per_second(networks)


def int8_name(group: RunGroup) -> str:
    """The artifact's name among the measured networks."""
    return f"{group.name}, int8"


def frozen(network: nn.Module, frame: Tensor) -> Network:
    """Prepare an fp32 network as for a deployment: traced, frozen, channels-last."""
    network = network.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    with torch.inference_mode():
        traced: torch.jit.ScriptModule = torch.jit.trace(network, frame)  # type: ignore[no-untyped-call]
        ready: torch.jit.ScriptModule = torch.jit.freeze(traced)
    return ready


def frames_per_second(networks: Mapping[str, tuple[Network, Tensor]]) -> dict[str, float]:
    """Median frames per second of each network with its frame, one frame per call, on torch's threads."""
    seconds: dict[str, list[float]] = {name: [] for name in networks}
    with torch.inference_mode():
        for network, frame in networks.values():
            for _ in range(_WARM_UP_CALLS):
                network(frame)
        for _ in range(_ROUNDS):
            for name, (network, frame) in networks.items():
                seconds[name].append(_seconds_per_frame(network, frame))
    return {name: 1 / statistics.median(times) for name, times in seconds.items()}


def _seconds_per_frame(network: Network, frame: Tensor) -> float:
    calls, start = 0, time.perf_counter()
    while (spent := time.perf_counter() - start) < _SECONDS_PER_ROUND:
        network(frame)
        calls += 1
    return spent / calls
