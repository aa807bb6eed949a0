"""Near-duplicates: turned, mirrored and brightened copies are found; frames of one part stay apart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from trainer.data import near_duplicates

SIDE = 80  # pixels; larger than a thumbnail, so that it is resized


def textures(count: int, *, seed: int = 0) -> list[NDArray[np.uint8]]:
    """Draw smooth random frames, which have nothing in common."""
    noise = np.random.default_rng(seed).uniform(0, 255, (count, 10, 10)).astype(np.uint8)
    return [
        np.asarray(Image.fromarray(each).resize((SIDE, SIDE), Image.Resampling.BICUBIC)) for each in noise
    ]


def parts(count: int) -> list[NDArray[np.uint8]]:
    """Draw frames of one part: the same bright ring on each, and a little texture of its own."""
    y, x = np.mgrid[-1 : 1 : SIDE * 1j, -1 : 1 : SIDE * 1j]
    ring = 180 * np.exp(-(((np.hypot(x, y + 0.1) - 0.6) / 0.15) ** 2))
    return [np.clip(ring + each / 8, 0, 255).astype(np.uint8) for each in textures(count)]


@pytest.mark.parametrize("turn", range(8))
def test_turned_and_mirrored_copies_are_in_one_group(turn: int) -> None:
    """A copy is found under each of the eight turns and mirrors, also if it is darker; nothing else is."""
    frames = textures(12)
    copy = np.rot90(frames[3] if turn < 4 else frames[3][:, ::-1], turn)
    darker = (20 + copy * 0.6).astype(np.uint8)

    assert near_duplicates.groups([*frames, darker]) == [*range(12), 3]


def test_frames_of_one_part_are_no_near_duplicates() -> None:
    """Frames that look alike, because each shows the same part, are apart; a copy among them is found."""
    frames = parts(20)
    plain = [np.corrcoef(frames[0].ravel(), each.ravel())[0, 1] for each in frames]
    assert min(plain) > 0.9  # they do look alike

    assert near_duplicates.groups([*frames, frames[5][::-1]]) == [*range(20), 5]


def test_copies_of_copies_are_in_one_group() -> None:
    """All copies of a frame have the row of the first one, also if they are most of the frames."""
    a, b, *others = textures(6)
    frames = [a, b, a.T, *others, b[::-1], a[:, ::-1], np.rot90(a), a[::-1], a]

    assert near_duplicates.groups(frames) == [0, 1, 0, 3, 4, 5, 6, 1, 0, 0, 0, 0]


def test_blank_and_unreadable_frames_are_alone(tmp_path: Path) -> None:
    """A blank frame is like no other one, and a file that is no image does not stop the search."""
    frames = [
        np.full((SIDE, SIDE), 90, np.uint8),
        np.full((SIDE, SIDE), 90, np.uint8),
        *textures(3),
        textures(3)[1],
    ]
    paths = [tmp_path / f"{number}.png" for number in range(len(frames))]
    for path, frame in zip(paths, frames, strict=True):
        Image.fromarray(frame).save(path)
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no image")
    seen: list[None] = []

    found = near_duplicates.groups([*paths, broken], advance=lambda: seen.append(None))

    assert found == [0, 1, 2, 3, 4, 3, 6]
    assert len(seen) == 7
    assert near_duplicates.groups(torch.from_numpy(np.stack(frames))[:, None]) == found[:-1]


def test_few_frames_have_groups_of_their_own() -> None:
    """No frame and one frame need no comparison."""
    assert near_duplicates.groups([]) == []
    assert near_duplicates.groups(textures(1)) == [0]
