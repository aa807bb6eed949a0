"""Draw docs/images/station.png: six frames that the demo's network has never seen, with verdict and heat map.

    .venv/bin/python docs/images/draw_station.py

The frames are the demo's own synthetic ones (same seed). Verdicts and heat maps come from the real artifact.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import numpy as np

from inspector.network import artifact
from inspector.network.classifier import Classifier
from inspector.records import Verdict
from trainer.synthetic.frames import CLASSES, SyntheticFrame, frames

mpl.use("Agg")
from matplotlib import pyplot as plt

HERE = Path(__file__).resolve().parent
ARTIFACT = HERE.parents[1] / "deploy" / "demo" / "weldnet-synthetic.pt"
SEED, COUNT = 2026, 240  # as in the demo
COLOURS = {Verdict.PASS: "#1b7837", Verdict.FAIL: "#b2182b", Verdict.REVIEW: "#8c6d1f"}


def main() -> None:
    """One column for each class: the frame with its heat map, the verdict, the probabilities."""
    classifier = Classifier(artifact.open(ARTIFACT))
    shown = first_of_each_class()
    figure, axes = plt.subplots(
        2, len(shown), figsize=(13, 4.9), height_ratios=(3.4, 1), layout="constrained", facecolor="white"
    )
    for (above, below), frame in zip(axes.T, shown, strict=True):
        judgement = classifier.judge([classifier.prepare(frame.pixels)], [None])[0]
        above.imshow(frame.pixels, cmap="gray", vmin=0, vmax=255)
        if judgement.heat is not None:
            height, width = frame.pixels.shape
            above.imshow(
                judgement.heat,
                cmap="inferno",
                alpha=0.35,
                extent=(0, width, height, 0),
                interpolation="bicubic",
            )
        above.set_title(
            f"{judgement.verdict.value}: {judgement.label.replace('_', ' ')}",
            color=COLOURS[judgement.verdict],
            fontsize=10,
            fontweight="bold",
        )
        above.set_xlabel(f"drawn as {CLASSES[frame.label].replace('_', ' ')}", fontsize=8)
        above.set(xticks=[], yticks=[])
        shares = list(judgement.probabilities.values())
        below.barh(np.arange(len(shares)), shares, color="#4d4d4d")
        below.set(xlim=(0, 1), xticks=[0, 1], yticks=[])
        below.invert_yaxis()
        below.tick_params(labelsize=7)
        below.spines[["top", "right", "left"]].set_visible(False)
    axes[1][0].set_yticks(np.arange(len(CLASSES)), [name.replace("_", " ") for name in CLASSES], fontsize=7)
    figure.savefig(HERE / "station.png", dpi=110)


def first_of_each_class() -> list[SyntheticFrame]:
    """The first frame of each class as the demo draws them."""
    found: dict[int, SyntheticFrame] = {}
    for frame in frames(COUNT, SEED):
        found.setdefault(frame.label, frame)
        if len(found) == len(CLASSES):
            break
    return [found[label] for label in sorted(found)]


if __name__ == "__main__":
    main()
