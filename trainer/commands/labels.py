"""``weld-train suspects`` and ``learning-curve``: which labels may be wrong, and how many are enough."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from trainer.commands.options import (
    Accelerator,
    AcceleratorName,
    AsJson,
    Conflict,
    Data,
    Devices,
    Nodes,
    OnConflict,
    Overrides,
    Processes,
    Seeds,
    whole_numbers,
)
from trainer.commands.processes import launch
from trainer.commands.terminal import print_result, session

BitDepth = Annotated[
    int, typer.Option(min=8, max=16, help="significant bits of a pixel above 8 bits, as data.bit_depth")
]


def suspects(
    data: Data,
    out: Annotated[
        Path, typer.Option("--out", help="folder for suspect_labels.csv and its page of pictures")
    ],
    on_conflict: OnConflict = Conflict.REFUSE,
    bit_depth: BitDepth = 8,
    as_json: AsJson = False,
) -> None:
    """List labels that may be wrong, with their pictures, so that a person decides. It changes nothing."""
    with session() as progress:
        from trainer.data.joining import DataSets
        from trainer.labels.suspects import suspects as find

        result = find(DataSets(tuple(data), on_conflict.value), out, progress, bit_depth=bit_depth)
        if as_json:
            print_result(result, as_json=as_json)
        else:
            from trainer.commands import console

            console.show_suspects(result)


def learning_curve(
    data: Data,
    out: Annotated[Path, typer.Option("--out", help="folder for the curve, and for the runs of --recipe")],
    on_conflict: OnConflict = Conflict.REFUSE,
    recipe: Annotated[
        str | None, typer.Option(help="train this recipe, which takes hours; default: a linear probe")
    ] = None,
    overrides: Overrides = None,
    seeds: Seeds = "0,1,2",
    more: Annotated[int, typer.Option(min=1, help="further frames to predict the accuracy for")] = 200,
    bit_depth: BitDepth = 8,
    accelerator: AcceleratorName = Accelerator.AUTO,
    devices: Devices = 1,
    nodes: Nodes = 1,
    as_json: AsJson = False,
) -> None:
    """Measure accuracy with halves and quarters of the frames, and estimate it with more; resumable."""
    with session(out) as progress:
        from trainer.data.joining import DataSets
        from trainer.labels.learning_curve import learning_curve as measure

        with launch(Processes(accelerator, devices, nodes)) as hardware:
            result = measure(
                DataSets(tuple(data), on_conflict.value),
                out,
                progress,
                recipe=recipe,
                overrides=overrides or [],
                seeds=whole_numbers(seeds),
                more=more,
                bit_depth=bit_depth,
                hardware=hardware,
            )
        if result is None:
            return
        if as_json:
            print_result(result, as_json=as_json)
        else:
            from trainer.commands import console

            console.show_learning_curve(result)
