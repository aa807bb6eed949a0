"""``weld-train learning-curve``: accuracy by the number of training frames, and what more frames are worth.

Halves, quarters and, of many frames, eighths of the training frames, with three seeds each. The quick form
measures linear probes of a frozen pretrained network, by cross-validation over welding runs. The honest form
trains a recipe, and takes hours. Both fit the same law (:mod:`trainer.labels.power_law`).
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from trainer.data.joining import DataSets
from trainer.errors import UsageError
from trainer.labels import power_law, probe_curve, recipe_curve
from trainer.labels.curve import Curve
from trainer.labels.power_law import LEVEL, MAX_TIMES_MEASURED, PowerLaw
from trainer.learning.processes import Hardware
from trainer.run.progress import Progress
from trainer.run.saving import write_text

log = logging.getLogger(__name__)

CURVE_FILE, PICTURE_FILE = "learning_curve.json", "learning_curve.png"
MORE_FRAMES = 200  # a day's work of one person
_MIN_MISTAKES = 5  # at the smallest size, as a mean over seeds: of fewer, a curve shows nothing
_DPI = 120


@dataclass(frozen=True)
class Outlook:
    """The answer in one sentence; ``low`` and ``high`` are None if the curve says nothing."""

    sentence: str
    more: int
    expected: float | None = None
    low: float | None = None
    high: float | None = None


def learning_curve(
    data: DataSets,
    out: Path,
    progress: Progress,
    *,
    recipe: str | None = None,
    overrides: Sequence[str] = (),
    seeds: Sequence[int] = (0, 1, 2),
    more: int = MORE_FRAMES,
    bit_depth: int = 8,
    hardware: Hardware | None = None,
) -> dict[str, Any] | None:
    """Measure the curve, fit it, and write ``learning_curve.json`` and ``learning_curve.png``.

    Args:
        data: any form of ``--data``.
        out: gets the files, the probe's features, and the runs of a recipe.
        progress: shown while frames are read and networks learn.
        recipe: name or file of the recipe to train; None: linear probes.
        overrides: ``a.b=c``, for every run of the recipe.
        seeds: each size is measured once with each seed.
        more: number of frames to predict for.
        bit_depth: of the probe's frames; a recipe has its own.
        hardware: the processes that learn a recipe.

    Raises:
        DataError: there are problems with the labels or the images; it lists all of them.
        UsageError: the recipe makes no artifact, or there are too few frames.

    Returns:
        The content of ``learning_curve.json``; None if another process is the leader.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{out}: cannot be used ({error.strerror}); give another --out") from None
    curve: Curve | None
    if recipe is None:
        curve = probe_curve.measure(data, out, progress, seeds=seeds, bit_depth=bit_depth)
    else:
        curve = recipe_curve.measure(
            recipe, data, out, progress,
            overrides=overrides, seeds=seeds, hardware=hardware or Hardware(),
        )  # fmt: skip
    if curve is None:
        return None
    law = power_law.fit(curve.measured)
    outlook = look_ahead(curve, law, more)
    draw(curve, law, out / PICTURE_FILE)
    result = {
        "of": curve.of,
        "n_held_out": curve.n_held_out,
        "seeds": list(seeds),
        "points": [asdict(point) for point in curve.points],
        "slope": law.slope,
        "slope_interval": list(law.slope_interval),
        "outlook": asdict(outlook),
        "picture": str(out / PICTURE_FILE),
    }
    write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", out / CURVE_FILE)
    log.info("%s", outlook.sentence)
    return result


def look_ahead(curve: Curve, law: PowerLaw, more: int) -> Outlook:
    """Say what ``more`` training frames are worth, or why the curve does not say it."""
    first, now = curve.points[0], curve.points[-1]
    at = f"{curve.of}: {now.accuracy:.1%} with {now.n_train:.0f} training frames"
    mistakes = float(curve.measured.errors[0].sum(axis=1).mean())
    if mistakes < _MIN_MISTAKES:
        why = f"{mistakes:.0f} mistakes on {curve.n_held_out} frames with the fewest are too few for a curve"
        return Outlook(f"{at}; {why}", more)
    if law.slope_interval[0] <= 0:
        why = f"{first.accuracy:.1%} with {first.n_train:.0f}: no clear gain, so nothing is promised of more"
        return Outlook(f"{at}, {why}; look at the mistakes and at the labels (weld-train suspects)", more)
    reach = int(now.n_train * (MAX_TIMES_MEASURED - 1))
    wanted, more = more, min(more, reach)
    low, high = law.interval(now.n_train + more)
    sentence = f"{at}; with {more} more expect {1 - high:.1%} to {1 - low:.1%} ({LEVEL:.0%} interval)"
    if wanted > reach:
        sentence += f"; for {wanted} more it says nothing, beyond twice the frames that were measured"
    return Outlook(sentence, more, 1 - law.error(now.n_train + more), 1 - high, 1 - low)


def draw(curve: Curve, law: PowerLaw, out: Path) -> None:
    """Draw the error by the number of training frames, with the fit and its interval."""
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axis = figure.subplots()
    sizes = curve.measured.sizes
    line = np.geomspace(sizes[0], MAX_TIMES_MEASURED * sizes[-1], 50)
    bounds = np.array([law.interval(n) for n in line])
    axis.fill_between(line, 100 * bounds[:, 0], 100 * bounds[:, 1], alpha=0.2, label=f"{LEVEL:.0%} interval")
    axis.plot(
        line, [100 * law.error(n) for n in line], label=f"error falls as n to the power of {-law.slope:.2f}"
    )
    each = 100 * curve.measured.errors.sum(axis=2) / curve.measured.group_sizes.sum()
    axis.plot(
        curve.measured.frames.ravel(), each.ravel(), "o", color="C1", label="measured, one dot per seed"
    )
    axis.axvline(float(sizes[-1]), color="grey", linestyle=":", label="all training frames")
    axis.set(xscale="log", xlabel="training frames", ylabel="wrong answers, %", ylim=(0, None))
    axis.set_xticks(sizes, [f"{n:.0f}" for n in sizes])
    axis.minorticks_off()
    axis.set_title(f"{curve.of}; {curve.n_held_out} held-out frames", fontsize=9)
    axis.legend()
    figure.savefig(out, dpi=_DPI)
