"""Frames in memory or on disk, decoded once at one size."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from trainer_samples import class_folders

from trainer.data import datasets, frames
from trainer.data.resizing import prepare
from trainer.errors import Problem, UsageError


def load(root: Path, problems: list[Problem], size: tuple[int, int] = (64, 64)) -> frames.FrameSet:
    """Read the frames of a folder with the shared resize."""
    return frames.load(
        datasets.read(root).frames,
        size=size,
        resize=lambda image: prepare(image, *size),
        bit_depth=8,
        problems=problems,
        spill_folder=root,
    )


def test_frames_are_decoded_in_order(tmp_path: Path) -> None:
    """Row i is frame i, decoded and resized by the shared prepare, with its label."""
    from inspector.imaging.decoder import read_image

    problems: list[Problem] = []
    loaded = load(class_folders(tmp_path), problems)

    assert not problems
    assert loaded.labels.tolist() == [0] * 6 + [1] * 6
    for row, listed in enumerate(loaded.frames):
        wanted = prepare(torch.from_numpy(read_image(listed.path))[None], 64, 64)
        assert torch.equal(loaded.images[row], wanted)


@pytest.mark.parametrize(
    ("pixels", "enlarge", "size"),
    [
        (200 * 160, 1, (80, 80)),  # unchanged
        (200 * 160, 2, (160, 160)),  # twice
        (110 * 110, 2, (110, 110)),  # as large as the pixels allow
        (70 * 70, 2, (70, 70)),  # reduced
        (32 * 32, 1, (64, 64)),  # what the network needs
    ],
)
def test_the_size_is_the_datas_within_limits(
    tmp_path: Path, pixels: int, enlarge: float, size: tuple[int, int]
) -> None:
    """Frames keep their size, are enlarged within limits, and are reduced to the allowed pixels."""
    listing = datasets.read(class_folders(tmp_path), [])
    assert frames.choose_view_size(listing.frames, pixels, 8, enlarge) == size


@pytest.mark.parametrize(
    ("shapes", "pixels", "size", "said"),
    [
        ([(8, 8000)], 194_800, (64, 3042), "distorts shapes up to 21.0 times"),
        ([(100, 2000)], 10_000, (64, 156), "distorts shapes up to 8.2 times"),
        ([(100, 200), (200, 100)], 194_800, (150, 150), "100×200, 200×100 pixels become 150×150"),
        ([(100, 120), (100, 125)], 194_800, (100, 122), ""),
        ([(974, 800)], 194_800, (486, 400), ""),
        ([(9, 9000)], 194_800, (64, 3042), "distorts shapes up to"),
        ([(9000, 8)], 5_000, (78, 64), "distorts shapes up to"),
        ([(1000, 1000), (1001, 999)], 4_100, (64, 64), ""),
    ],
)
def test_the_pixels_are_a_bound_and_distortion_is_named(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    shapes: list[tuple[int, int]],
    pixels: int,
    size: tuple[int, int],
    said: str,
) -> None:
    """Narrow frames keep within the pixels, and frames whose shape changes much are named."""
    listed = []
    for number, shape in enumerate(shapes):
        Image.new("L", shape[::-1], number).save(tmp_path / f"{number}.png")
        listed.append(datasets.Frame(tmp_path / f"{number}.png", f"{number}.png", 0))
    with caplog.at_level(logging.WARNING):
        chosen = frames.choose_view_size(listed, pixels, 8)
    assert chosen == size
    assert chosen[0] * chosen[1] <= pixels
    assert said in caplog.text
    assert bool(caplog.text) == bool(said)


def test_every_unreadable_image_is_named(tmp_path: Path) -> None:
    """All damaged files are named with their reasons, and the other files are read."""
    class_folders(tmp_path)
    broken = [tmp_path / "bad" / "bad-run0" / "0.png", tmp_path / "good" / "good-run1" / "1.png"]
    broken[0].write_bytes(broken[0].read_bytes()[:200])
    broken[1].write_bytes(b"")
    problems: list[Problem] = []

    loaded = load(tmp_path, problems)

    assert [p.kind for p in problems] == ["unreadable image"] * 2
    assert all(str(path) in p.what for path, p in zip(broken, problems, strict=True))
    assert loaded.images[1].float().std() > 0


def test_frames_go_to_disk_where_memory_is_short(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """If memory is short, the same pixels come from a file, with a warning."""
    in_memory = load(class_folders(tmp_path), [])
    monkeypatch.setattr(frames, "available_memory", lambda: 1000)
    with caplog.at_level(logging.WARNING):
        on_disk = load(tmp_path, [])
    assert torch.equal(in_memory.images, on_disk.images)
    assert "more than fits into memory" in caplog.text
    assert not list(tmp_path.glob("tmp*"))


def test_no_room_anywhere_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If neither memory nor disk has room, the frames are refused before any is decoded."""
    class_folders(tmp_path, runs=1, frames=1)
    monkeypatch.setattr(frames, "available_memory", lambda: 1000)
    with pytest.raises(UsageError, match=r"free some, or set a smaller network\.height"):
        load(tmp_path, [], size=(2**25, 2**20))


def test_available_memory_is_a_sensible_number() -> None:
    """The available memory is between a megabyte and an exabyte."""
    assert 1e6 < frames.available_memory() < 1e18


def test_frames_that_leave_their_upper_bits_unused_are_counted(tmp_path: Path) -> None:
    """A set keeps the number of the highest bits that none of its 16-bit frames uses."""
    for name, top in (("a", 1000), ("b", 4095)):
        (tmp_path / name).mkdir()
        words = np.linspace(0, top, 80 * 80).astype(np.uint16).reshape(80, 80)
        Image.fromarray(words).save(tmp_path / name / "x.png")
    assert load(tmp_path, []).unused_bits == 4
    Image.fromarray(words << 4).save(tmp_path / "b" / "y.png")
    assert load(tmp_path, []).unused_bits == 0
    for folder in ("a", "b"):
        for file in (tmp_path / folder).iterdir():
            file.unlink()
        Image.fromarray((words >> 4).astype(np.uint8)).save(tmp_path / folder / "x.png")
    assert load(tmp_path, []).unused_bits is None
