"""Speed of the int8 artifact and of the same student as frozen fp32 TorchScript: one thread, in turns.

    python benchmarks/int8_vs_fp32.py [--student RUN/student.pt] [--rounds 40] [--json]

The frames have the paper's size, also for a student trained at another size: WeldNet takes any size. Without
a student, the paper's network has random weights, because time and size do not depend on them.

A round times every candidate once, so that other work on the machine affects all of them. The ratio is the
median of the ratios of the rounds. The artifact with and without heat map has its own rounds, because this
small difference must not depend on what ran before.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from networks import weldnet, write_artifact
from rich.console import Console
from rich.table import Table
from torch import Tensor

from inspector.network import artifact
from trainer.artifact.artifact import ArtifactNetwork
from trainer.evaluation.novelty import Novelty
from trainer.int8.schemes import compile_network
from trainer.network.weldnet import WeldNet

Work = Callable[[], Any]


def main(
    student: Annotated[Path | None, typer.Option(help="student.pt of a run; default: random weights")] = None,
    rounds: Annotated[int, typer.Option(min=5, help="number of times that each candidate is timed")] = 40,
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Measure, and print a table or one JSON object."""
    torch.set_num_threads(1)
    network = weldnet(student)
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        result = _measure(network, Path(folder), rounds)
    if as_json:
        typer.echo(json.dumps(result))
    else:
        _print(result)


def _measure(network: WeldNet, folder: Path, rounds: int) -> dict[str, Any]:
    frames = torch.randint(0, 256, (8, 1, network.config.height, network.config.width), dtype=torch.uint8)
    int8 = _compiled(network, "dynamic", folder)
    pixels = (frames / 255).contiguous(memory_format=torch.channels_last)
    fp32 = torch.jit.freeze(torch.jit.script(network.to(memory_format=torch.channels_last)))
    with_heat, without = (_scripted(kind, network) for kind in (ArtifactNetwork, _WithoutHeat))
    times = _interleaved(
        {
            "int8_batch1": lambda: int8.forward(frames[:1]),
            "fp32_batch1": lambda: fp32(pixels[:1]),
            "int8_batch8": lambda: int8.forward(frames),
            "fp32_batch8": lambda: fp32(pixels),
        },
        rounds,
    )
    times |= _interleaved(
        {
            "with_heat_map": lambda: with_heat(frames[:1]),
            "without_heat_map": lambda: without(frames[:1]),
        },
        4 * rounds,
    )
    for name in ("int8_batch8", "fp32_batch8"):
        times[name] = times[name] / 8  # per frame
    _compiled(network, "none", folder)
    sizes = {scheme: (folder / scheme).stat().st_size for scheme in ("dynamic", "none")}
    return {
        "cpu": torch.backends.cpu.get_cpu_capability(),
        "torch": torch.__version__,
        "frame": [network.config.height, network.config.width],
        "rounds": rounds,
        "ms_a_frame": {name: _quartiles(values) for name, values in times.items()},
        "ratios": {
            "int8_over_fp32_batch1": _quartiles(times["int8_batch1"] / times["fp32_batch1"]),
            "int8_over_fp32_batch8": _quartiles(times["int8_batch8"] / times["fp32_batch8"]),
            "batch8_over_batch1": _quartiles(times["int8_batch8"] / times["int8_batch1"]),
            "heat_map_share_batch1": _quartiles(1 - times["without_heat_map"] / times["with_heat_map"]),
        },
        "bytes": sizes,
        "size_ratio": round(sizes["dynamic"] / sizes["none"], 3),
    }


class _WithoutHeat(ArtifactNetwork):
    def heat(self, features: Tensor, label: int) -> Tensor:
        return features


def _scripted(kind: type[ArtifactNetwork], network: WeldNet) -> torch.jit.ScriptModule:
    module = kind(compile_network(network, "dynamic"), network, Novelty(network.head.in_features))
    scripted: torch.jit.ScriptModule = torch.jit.freeze(torch.jit.script(module.eval()))
    return scripted


def _compiled(network: WeldNet, scheme: str, folder: Path) -> artifact.Artifact:
    noise = np.random.default_rng(0).integers(0, 256, (974, 800), dtype=np.uint8)
    write_artifact(network, folder / scheme, scheme, noise)
    return artifact.open(folder / scheme)


def _interleaved(candidates: dict[str, Work], rounds: int) -> dict[str, np.ndarray]:
    """Milliseconds of each candidate in each round, after a warm-up."""
    times: dict[str, list[float]] = {name: [] for name in candidates}
    for work in candidates.values():
        for _ in range(4):
            work()
    for _ in range(rounds):
        for name, work in candidates.items():
            started = time.perf_counter()
            work()
            times[name].append((time.perf_counter() - started) * 1000)
    return {name: np.array(values) for name, values in times.items()}


def _quartiles(values: np.ndarray) -> dict[str, float]:
    low, middle, high = np.percentile(values, (25, 50, 75))
    return {"median": round(middle, 3), "q25": round(low, 3), "q75": round(high, 3)}


def _print(result: dict[str, Any]) -> None:
    height, width = result["frame"]
    table = Table(title=f"{width}×{height}, one thread, {result['cpu']}, torch {result['torch']}")
    for column in ("what", "median", "quartiles"):
        table.add_column(column, justify="left" if column == "what" else "right")
    for group in ("ms_a_frame", "ratios"):
        for name, figures in result[group].items():
            quartiles = f"{figures['q25']:g} to {figures['q75']:g}"
            table.add_row(f"{group}: {name}", f"{figures['median']:g}", quartiles)
        table.add_section()
    table.add_row("file size, int8 over fp32", f"{result['size_ratio']:g}", str(result["bytes"]["dynamic"]))
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
