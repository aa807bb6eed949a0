"""Pictures of a run for people; figures are in the CSV and JSON files beside them."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure


def curves(logs: Sequence[Path], out: Path) -> None:
    """Loss and accuracy by epoch of every network, as the paper's Figures 12 and 14.

    Solid: on the training views. Dashed: on the held-out frames, which nothing was chosen by. A student's
    training loss is against soft labels and ends above zero.

    Args:
        logs: the run folder's CSV files, one a network.
        out: PNG to write.
    """
    figure = Figure(figsize=(11, 4.5), layout="constrained")
    axes = dict(zip(("loss", "accuracy"), figure.subplots(1, 2), strict=True))
    for number, log in enumerate(logs):
        with log.open(encoding="utf-8") as stream:
            rows = list(csv.DictReader(stream))
        epochs = [int(row["epoch"]) for row in rows]
        for name, axis in axes.items():
            for part, style in (("train", "-"), ("valid", "--")):
                values = [float(row[f"{part}_{name}"]) for row in rows]
                label = log.stem if part == "train" else None
                axis.plot(epochs, values, style, color=f"C{number}", label=label)
            axis.set(xlabel="epoch", ylabel=name)
    axes["loss"].set_yscale("log")  # a diverging epoch would flatten all others
    axes["accuracy"].set_ylim(0, 1)
    axes["accuracy"].legend(title="solid: training, dashed: held out")
    figure.savefig(out, dpi=120)
