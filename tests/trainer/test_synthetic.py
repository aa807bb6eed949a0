"""Synthetic frames: balanced, repeatable, in runs, and neither trivial nor impossible to learn."""

import csv
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from inspector.file_names import parse
from inspector.imaging.decoder import decode
from trainer.synthetic.frames import CLASSES, SyntheticFrame, frames, write
from trainer.synthetic.weld_pools import draw
from trainer.synthetic.weld_scenes import Scene, View, Weld

GOOD = Weld(
    half_width=5.0,
    front=4.5,
    tail=9.0,
    joint_offset=0.3,
    joint_gap=0.2,
    step=0.0,
    hole_radius=0.0,
    dark_reflection=0.0,
    dross=0.1,
    soot=0.1,
    brightness=1.0,
    ripple_pitch=0.8,
    travel=1.0,
)
VIEW = View(
    column=200.0,
    row=175.0,
    scale=0.05,
    yaw=0.3,
    elevation_sine=0.7,
    nozzle_half_width=120.0,
    stickout=40.0,
    arc_length=60.0,
    exposure=1.0,
    haze=0.7,
    blur_passes=1,
    noise=2.5,
    vignette=0.2,
)

# The six frames of seed 11: mean grey levels of 4 × 3 fields, and the mean step from one row to the next.
# This is not a hash, because processors round sines and exponentials differently. If a later numpy draws
# other numbers from a seed, print the table again.
FRAMES_OF_SEED_11 = {
    "good_weld": ([39, 61, 48, 61, 145, 81, 46, 72, 60, 32, 45, 33], 2.68),
    "burn_through": ([51, 40, 53, 99, 175, 103, 66, 89, 76, 43, 62, 47], 2.70),
    "contamination": ([42, 71, 48, 60, 134, 82, 46, 72, 51, 31, 39, 29], 2.38),
    "lack_of_fusion": ([38, 41, 36, 73, 144, 95, 54, 75, 71, 35, 49, 42], 2.15),
    "misalignment": ([49, 72, 62, 85, 170, 104, 56, 84, 63, 35, 47, 41], 2.36),
    "lack_of_penetration": ([29, 36, 32, 48, 75, 53, 35, 54, 37, 25, 30, 23], 2.40),
}


@dataclass
class Drawn:
    """Many frames as the tests need them, without their 80 MB of pixels."""

    thumbnails: NDArray[np.float64]  # [n, 24, 40], 0 to 1
    labels: NDArray[np.int64]
    runs: NDArray[np.str_]


def thumbnail(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """The frame at 40 × 24 pixels, 0 to 1."""
    return np.asarray(Image.fromarray(pixels).resize((40, 24), Image.Resampling.BILINEAR)) / 255


@pytest.fixture(scope="module")
def drawn() -> Drawn:
    """108 frames: nine runs per class, two frames per run."""
    columns = [(thumbnail(f.pixels), f.label, f.run) for f in frames(108, 5, runs_per_class=9)]
    return Drawn(*(np.array(column) for column in zip(*columns, strict=True)))


@pytest.fixture(scope="module")
def handful() -> list[SyntheticFrame]:
    """Thirteen frames in the default number of runs."""
    return list(frames(13, 7))


def splits_by_run(drawn: Drawn, seeds: int) -> Iterator[NDArray[np.bool_]]:
    """Masks of training frames: two thirds of each class's runs."""
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        train = [
            run
            for label in range(len(CLASSES))
            for run in rng.permutation(np.unique(drawn.runs[drawn.labels == label]))[:6]
        ]
        yield np.isin(drawn.runs, train)


def ridge_accuracy(drawn: Drawn, train: NDArray[np.bool_], penalty: float) -> float:
    """Top-1 accuracy of a ridge regression on thumbnails, on the frames outside ``train``."""
    pixels = drawn.thumbnails.reshape(len(drawn.labels), -1)
    pixels = (pixels - pixels[train].mean(0)) / (pixels[train].std(0) + 1e-6)
    targets = np.eye(len(CLASSES))[drawn.labels[train]]
    gram = pixels[train] @ pixels[train].T
    weights = np.linalg.solve(gram + penalty * np.eye(len(gram)), targets - targets.mean(0))
    scores = pixels[~train] @ pixels[train].T @ weights + targets.mean(0)
    return float((scores.argmax(1) == drawn.labels[~train]).mean())


def test_thumbnails_distinguish_some_classes(drawn: Drawn) -> None:
    """A linear model on thumbnails, split by run, stays below 80% and is at least 60% better than chance."""
    by_penalty = np.array(
        [
            [ridge_accuracy(drawn, train, penalty) for penalty in (10.0, 100.0, 1e3, 1e4)]
            for train in splits_by_run(drawn, seeds=6)
        ]
    )
    assert by_penalty.max() < 0.8
    assert by_penalty.mean(axis=0).max() > 1.6 / len(CLASSES)


def test_shuffled_labels_give_chance_accuracy(drawn: Drawn) -> None:
    """If labels are shuffled by run, the linear model's accuracy is that of chance."""
    rng = np.random.default_rng(0)
    runs, first = np.unique(drawn.runs, return_index=True)
    accuracies = []
    for _ in range(6):
        lost = dict(zip(runs.tolist(), rng.permutation(drawn.labels[first]).tolist(), strict=True))
        shuffled = replace(drawn, labels=np.array([lost[run] for run in drawn.runs.tolist()]))
        accuracies += [ridge_accuracy(shuffled, train, 1e3) for train in splits_by_run(shuffled, seeds=6)]
    assert np.mean(accuracies) < 1.4 / len(CLASSES)


def test_frames_of_a_run_are_near_copies(drawn: Drawn) -> None:
    """Two frames of a run differ, but far less than frames of different runs."""
    within, between = [], []
    for a, b in pairwise(range(len(drawn.labels))):
        same_run = drawn.runs[a] == drawn.runs[b]
        (within if same_run else between).append(np.abs(drawn.thumbnails[a] - drawn.thumbnails[b]).mean())
    assert min(within) > 0
    assert np.median(within) < 0.4 * np.median(between)


def test_classes_are_balanced_and_names_are_unique(handful: list[SyntheticFrame]) -> None:
    """Classes differ by one frame at most, each run has one class, and no two frames share a name."""
    by_class = Counter(frame.label for frame in handful)
    assert sorted(by_class.values()) == [2, 2, 2, 2, 2, 3]
    assert len({(frame.run, frame.label) for frame in handful}) == len({frame.run for frame in handful}) == 12
    assert len({frame.name for frame in handful}) == 13
    assert all(frame.pixels.shape == (974, 800) and frame.pixels.dtype == np.uint8 for frame in handful)


def test_another_seed_gives_other_frames(handful: list[SyntheticFrame]) -> None:
    """Another seed gives other pixels."""
    assert not np.array_equal(next(frames(13, 8)).pixels, handful[0].pixels)


def test_a_seed_keeps_its_frames() -> None:
    """Frames of a seed keep the grey levels and the grain of the table above."""
    for frame in frames(6, 11, runs_per_class=1):
        levels, step = FRAMES_OF_SEED_11[CLASSES[frame.label]]
        fields = frame.pixels[:972, :798].reshape(4, 243, 3, 266).mean((1, 3)).ravel()
        assert fields == pytest.approx(levels, abs=1)
        assert np.abs(np.diff(frame.pixels.astype(int), axis=0)).mean() == pytest.approx(step, abs=0.05)


def test_a_frame_does_not_depend_on_earlier_ones() -> None:
    """A frame is the same, whether or not other frames of the run were drawn before."""
    scene = Scene(GOOD, VIEW, np.random.default_rng(1))
    later = draw(scene, 3)
    draw(scene, 0)
    assert np.array_equal(draw(scene, 3), later)


@pytest.mark.parametrize(
    "defect",
    [
        replace(GOOD, hole_radius=2.0),
        replace(GOOD, dross=0.9, soot=0.8),
        replace(GOOD, joint_offset=6.5),
        replace(GOOD, step=1.2),
        replace(GOOD, half_width=2.5, front=2.4, tail=4.0, brightness=0.6),
    ],
    ids=CLASSES[1:],
)
def test_a_defect_is_visible(defect: Weld) -> None:
    """With the same plates and camera, a defect changes at least one thumbnail pixel by 15 grey levels."""
    rngs = (np.random.default_rng(1) for _ in range(2))
    good, bad = (Scene(weld, VIEW, rng) for weld, rng in zip((GOOD, defect), rngs, strict=True))
    assert np.abs(thumbnail(draw(good, 0)) - thumbnail(draw(bad, 0))).max() > 15 / 255


def test_written_frames_are_class_folders_with_runs_and_a_table(
    tmp_path: Path, handful: list[SyntheticFrame]
) -> None:
    """``write`` makes class/run/name.png and a table, and the station's decoder reads the same pixels."""
    done: list[int] = []
    table = write(tmp_path / "new" / "set", frames(13, 7), progress=done.append)
    rows = list(csv.DictReader(table.read_text(encoding="utf-8").splitlines()))
    assert done == list(range(1, 14))
    assert sorted(row["path"] for row in rows) == sorted(
        path.relative_to(table.parent).as_posix() for path in table.parent.rglob("*.png")
    )
    for row, frame in zip(rows, handful, strict=True):
        assert row["path"] == f"{row['label']}/{row['run']}/{frame.name}"
        assert (row["label"], row["run"]) == (CLASSES[frame.label], frame.run)
        file = table.parent / row["path"]
        assert np.array_equal(decode(file.read_bytes()), frame.pixels)
        assert 200_000 < file.stat().st_size < 700_000  # a real frame of this size has about 435 KiB


def test_a_station_can_read_the_file_names(handful: list[SyntheticFrame]) -> None:
    """A ``name_pattern`` finds camera, part, seam and camera time in a frame's name."""
    pattern = re.compile(r"(?P<camera>cam\d+)_(?P<part>part-\d+)_(?P<seam>seam-\d+)_(?P<time>\d{8}T\d{6})")
    fields = parse(handful[1].name, pattern, UTC)
    assert (fields.camera, fields.part, fields.seam) == ("cam2", "part-0001", "seam-2")
    at = datetime(2026, 1, 5, 6, 10, tzinfo=UTC)
    assert fields.camera_time_us == round(at.timestamp() * 1_000_000)
