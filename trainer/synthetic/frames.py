"""Synthetic weld-pool frames with the six Al5083 classes, in runs, for demos and tests on any machine.

A network that has learnt them knows nothing of real welds. They show that the station works, not how well.
Each run is one class with its own camera place, exposure, zoom, plates and current. Its frames are
near-copies, as in real welding runs. So a split by frame gives too high an accuracy, and a split by run gives
a fair one.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from trainer.synthetic.weld_pools import draw
from trainer.synthetic.weld_scenes import Scene, View, Weld

CLASSES = (
    "good_weld",
    "burn_through",
    "contamination",
    "lack_of_fusion",
    "misalignment",
    "lack_of_penetration",
)
FRAMES_PER_RUN = 5  # few near-copies and many runs: a network learns from the number of runs

_FIRST_SHOT = datetime(2026, 1, 5, 6)  # by the camera's clock, which has no time zone
_RUN_EVERY = timedelta(minutes=10)  # sixty runs fill a working day, so that reports by shift have rows
_PNG_LEVEL = 2  # of 9: files are a sixth larger than at the usual level 6, in a quarter of the time


@dataclass(frozen=True)
class SyntheticFrame:
    """One frame with its true class."""

    pixels: NDArray[np.uint8]  # [974, 800] of a weld pool, grey
    label: int  # index in CLASSES, or in the textures' classes
    run: str  # unique among all classes
    index: int  # within the run
    name: str  # of a weld pool's file, as from a camera: camera, part, seam and time, without the class


def frames(count: int, seed: int, *, runs_per_class: int | None = None) -> Iterator[SyntheticFrame]:
    """Yield ``count`` frames, run by run; classes, and runs within a class, differ by one frame at most.

    The same arguments give the same frames. By default a run has about FRAMES_PER_RUN of them. The order of
    runs is drawn from the seed, so that neither a run's number nor its time reveals the class.
    """
    runs_per_class = runs_per_class or max(2, count // (len(CLASSES) * FRAMES_PER_RUN))
    runs = len(CLASSES) * runs_per_class
    order = np.random.default_rng(seed).permutation(runs)
    for number, slot in enumerate(order.tolist()):
        label, turn = slot % len(CLASSES), slot // len(CLASSES)
        shots = _share(_share(count, len(CLASSES), label), runs_per_class, turn)
        if not shots:
            continue
        yield from run_frames(label, number, shots, seed)


def run_frames(label: int, number: int, shots: int, seed: int) -> Iterator[SyntheticFrame]:
    """Yield the frames of one welding run, in the order of time.

    Args:
        label: index in CLASSES.
        number: of the run; with the seed it decides weld, camera place and light, and it is in the names.
        shots: number of frames.
        seed: see ``number``.
    """
    rng = np.random.default_rng([seed, number])
    scene = Scene(_weld(CLASSES[label], rng), _view(rng), rng)
    for index in range(shots):
        run, name = _names(number, index)
        yield SyntheticFrame(draw(scene, index), label, run, index, name)


def write(
    out: Path,
    drawn: Iterable[SyntheticFrame],
    names: Sequence[str] = CLASSES,
    progress: Callable[[int], None] | None = None,
) -> Path:
    """Write frames as PNG to ``out/<class>/<run>/<name>.png``, and ``out/labels.csv`` (path, label, run).

    File names of weld pools look like ``cam1_part-0007_seam-2_20260105T060003.png``. They are unique among
    all classes, fit a station's ``name_pattern``, and do not reveal the class.

    Args:
        out: folder to write into; created if it is missing.
        drawn: the frames to write.
        names: of the classes.
        progress: called after each frame with the number of frames written so far.

    Returns:
        Path of ``labels.csv``. Its paths are relative to ``out``, and its labels are class names.
    """
    out.mkdir(parents=True, exist_ok=True)
    table = out / "labels.csv"
    with table.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["path", "label", "run"])
        for done, frame in enumerate(drawn, start=1):
            path = out / names[frame.label] / frame.run / frame.name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(frame.pixels).save(path, compress_level=_PNG_LEVEL)
            rows.writerow([path.relative_to(out).as_posix(), names[frame.label], frame.run])
            if progress:
                progress(done)
    return table


def _share(count: int, parts: int, part: int) -> int:
    """The share of ``part`` if ``count`` is divided among ``parts``; the first ones take the remainder."""
    return count // parts + (part < count % parts)


def _names(number: int, index: int) -> tuple[str, str]:
    """Run and file name: two seams per part, two cameras that alternate by part, one frame per second."""
    part, seam = number // 2 + 1, number % 2 + 1
    run = f"cam{part % 2 + 1}_part-{part:04d}_seam-{seam}"
    return run, f"{run}_{_FIRST_SHOT + number * _RUN_EVERY + timedelta(seconds=index):%Y%m%dT%H%M%S}.png"


def _sign(rng: np.random.Generator) -> float:
    return 1.0 if rng.random() < 0.5 else -1.0


def _weld(name: str, rng: np.random.Generator) -> Weld:
    """Draw a weld of the class, with harmless signs of other defects, so that classes are close."""
    between = rng.uniform
    half = between(4.2, 5.6)
    good = Weld(
        half_width=half,
        front=half * between(0.8, 1.0),
        tail=half * between(1.5, 2.3),
        joint_offset=float(np.clip(rng.normal(0, 0.5), -1.0, 1.0)),
        joint_gap=between(0.2, 0.36),
        step=between(-0.2, 0.2),
        hole_radius=0.0,
        dark_reflection=between(0, 1) if rng.random() < 0.45 else 0.0,
        dross=between(0, 0.2),
        soot=between(0, 0.4),
        brightness=between(0.75, 1.15),
        ripple_pitch=between(0.55, 1.2),
        travel=between(0.5, 1.6),
    )
    if name == "burn_through":
        return replace(good, hole_radius=between(1.5, 2.4))
    if name == "contamination":
        return replace(good, dross=between(0.7, 1.0), soot=between(0.3, 1.0))
    if name == "lack_of_fusion":
        return replace(good, joint_offset=half * between(1.24, 1.45) * _sign(rng))
    if name == "misalignment":
        return replace(good, step=between(1.0, 1.8) * _sign(rng))
    if name == "lack_of_penetration":
        narrow = half * between(0.45, 0.57)
        return replace(
            good,
            half_width=narrow,
            front=narrow * between(0.8, 1.1),
            tail=narrow * between(1.3, 2.3),
            brightness=good.brightness * between(0.5, 0.75),
            ripple_pitch=good.ripple_pitch * 0.6,
        )
    return good


def _view(rng: np.random.Generator) -> View:
    between = rng.uniform
    return View(
        column=between(198, 232),
        row=between(158, 190),
        scale=0.05 * between(0.92, 1.1),
        yaw=between(0.2, 0.44),
        elevation_sine=between(0.62, 0.76),
        nozzle_half_width=between(90, 150),
        stickout=between(20, 60),
        arc_length=between(45, 75),
        exposure=between(0.7, 1.35),
        haze=between(0.4, 1.0),
        blur_passes=int(rng.integers(0, 3)),
        noise=between(1.6, 3.5),
        vignette=between(0.1, 0.4),
    )
