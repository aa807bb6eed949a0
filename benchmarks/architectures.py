"""Speed of every network of the paper's Table 4 on this processor, one frame at a time, in turns.

    python benchmarks/architectures.py [--height 487] [--width 400] [--classes 6]

The weights are random, because the time does not depend on them. fp32 networks are traced, frozen and
channels-last.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated, cast, get_args

import torch
import typer
from networks import write_artifact
from rich.console import Console
from rich.table import Table

from inspector.network.metadata import ArtifactFile
from trainer.evaluation.report import open_network
from trainer.network.architectures import build, parameter_count
from trainer.network.weldnet import WeldNet
from trainer.paper.speed import frames_per_second, frozen
from trainer.recipe import Architecture, Network


def main(
    height: Annotated[int, typer.Option(min=75, help="pixels")] = 487,
    width: Annotated[int, typer.Option(min=75, help="pixels")] = 400,
    classes: Annotated[int, typer.Option(min=2)] = 6,
) -> None:
    """Measure and print a table."""
    frame = torch.randint(256, (1, 1, height, width), dtype=torch.uint8)
    pixels = (frame / 255).contiguous(memory_format=torch.channels_last)
    networks = {
        name: build(Network(architecture=name, height=height, width=width), classes).eval()
        for name in get_args(Architecture)
    }
    size = {name: parameter_count(network) / 1e7 for name, network in networks.items()}
    runs = {name: (frozen(network, pixels), pixels) for name, network in networks.items()}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "weldnet.pt"
        write_artifact(cast(WeldNet, networks["weldnet"]), path, "dynamic", frame[0, 0].numpy())
        runs["weldnet, int8 artifact"] = open_network(ArtifactFile.read(path)), frame
    size["weldnet, int8 artifact"] = size["weldnet"]
    speed = frames_per_second(runs)
    title = f"{height}×{width}, batch 1, {torch.get_num_threads()} threads"
    table = Table("network", "parameters 10⁷", "frames/s", "of ResNet18's", title=title)
    for name, pace in speed.items():
        table.add_row(name, f"{size[name]:.2f}", f"{pace:.1f}", f"{pace / speed['resnet18']:.2f}")
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
