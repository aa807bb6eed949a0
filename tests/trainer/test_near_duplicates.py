"""Near-duplicates: turned, mirrored and brightened copies are found; frames of one part stay apart."""

from __future__ import annotations

import io
import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console
from tiny_runs import RECIPE
from trainer_samples import class_folders, picture

from trainer.data import near_duplicates, splits
from trainer.data.datasets import Frame, Listing
from trainer.learning.processes import Hardware
from trainer.pipeline import identify, list_frames
from trainer.recipe import Recipe
from trainer.run.folder import RunFolder, read_split
from trainer.run.progress import Progress

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


def test_frames_of_one_class_are_no_near_duplicates() -> None:
    """If two classes differ by one large thing, and the frames of each by noise, none are linked."""
    frames = [picture(label, seed) for label in (0, 1) for seed in range(8)]
    assert near_duplicates.groups(frames) == [*range(16)]


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


def test_the_split_divides_no_group_and_is_the_old_one_without_groups() -> None:
    """Near-duplicates are on one side; if no frame has one, the split is the same as without the search."""
    frames = [Frame(Path(f"{n}"), f"{n:02}", n % 2) for n in range(80)]
    old = splits.hold_out(frames, share=0.3, seed=1)
    assert old == splits.hold_out(frames, share=0.3, seed=1, alike={f.name: f.name for f in frames})

    alike = {f.name: f"{n // 4 * 4 + n % 2:02}" for n, f in enumerate(frames)}
    parts: dict[str, set[str | None]] = {}
    for frame in splits.hold_out(frames, share=0.3, seed=1, alike=alike):
        parts.setdefault(alike[frame.name], set()).add(frame.part)
    assert all(len(found) == 1 for found in parts.values())
    assert {"train", "valid"} == {part for found in parts.values() for part in found}


@pytest.fixture
def folder_with_copies(tmp_path: Path) -> Path:
    """Write two classes of ten frames without runs; half of them are copies of others, turned or darker."""
    for name, seed in (("bad", 1), ("good", 2)):
        (tmp_path / "data" / name).mkdir(parents=True)
        for number, each in enumerate(textures(5, seed=seed)):
            Image.fromarray(each).save(tmp_path / "data" / name / f"{number}.png")
            copy = np.ascontiguousarray(np.rot90(each, number)) // (1 + number % 2)
            Image.fromarray(copy).save(tmp_path / "data" / name / f"copy-{number}.png")
    return tmp_path / "data"


def part_of(listing: Listing) -> dict[str, str | None]:
    """Return the part of each frame by its name."""
    return {frame.name: frame.part for frame in listing.frames}


def test_a_run_holds_copies_out_together(folder_with_copies: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Copies of files without a run are on one side of the split, and one line says how many there are."""
    recipe = Recipe(**RECIPE)
    with caplog.at_level(logging.INFO):
        parts = part_of(
            list_frames(recipe, folder_with_copies, progress=Progress(Console(file=io.StringIO())))
        )
    assert "20 of 20 frames without a run are near-duplicates of each other, in 10 groups" in caplog.text
    for name, part in parts.items():
        assert part == parts[name.replace("/copy-", "/")], name
    assert set(parts.values()) == {"train", "valid"}


def test_the_run_folder_records_the_groups_of_near_duplicates(
    folder_with_copies: Path, tmp_path: Path
) -> None:
    """Each frame of ``split.csv`` names the first of its group, and a run with this split knows it, too."""
    recipe = Recipe(**RECIPE)
    found = list_frames(recipe, folder_with_copies)
    assert len({frame.alike for frame in found.frames}) == 10
    group = {frame.name: frame.alike for frame in found.frames}
    assert all(group[name] == group[name.replace("/copy-", "/")] for name in group)
    with RunFolder(tmp_path / "out") as folder:
        identity = identify(recipe, folder_with_copies, found, None, Hardware())
        folder.write_identity(recipe, identity, found.frames, found.classes)
    assert {row["path"]: row["alike"] for row in read_split(tmp_path / "out")} == {
        frame.name: frame.alike for frame in found.frames
    }
    assert list_frames(recipe, folder_with_copies, split_from=[tmp_path / "out"]).frames == found.frames


def test_a_run_of_an_older_version_keeps_its_split(folder_with_copies: Path, tmp_path: Path) -> None:
    """A folder whose split divides copies resumes with it, but not with another seed or other data."""
    recipe = Recipe(**RECIPE)
    new = list_frames(recipe, folder_with_copies)
    old = list_frames(recipe, folder_with_copies)
    old.frames = splits.hold_out(
        [Frame(f.path, f.name, f.label, sha256=f.sha256) for f in old.frames], share=0.34, seed=0
    )
    assert part_of(old) != part_of(new)
    identity = identify(recipe, folder_with_copies, old, None, Hardware())
    with RunFolder(tmp_path / "out") as folder:
        folder.write_identity(recipe, identity, old.frames, old.classes)

    again = list_frames(recipe, folder_with_copies, split_from=[tmp_path / "missing", tmp_path / "out"])
    assert again.frames == old.frames
    other_seed = recipe.model_copy(update={"data": recipe.data.model_copy(update={"split_seed": 5})})
    split = list_frames(other_seed, folder_with_copies, split_from=[tmp_path / "out"])
    assert split.frames == list_frames(other_seed, folder_with_copies).frames
    (folder_with_copies / "bad" / "copy-0.png").unlink()
    fewer = list_frames(recipe, folder_with_copies, split_from=[tmp_path / "out"])
    assert fewer.frames == list_frames(recipe, folder_with_copies).frames


def test_frames_with_runs_are_not_compared(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """If every frame has a run, the split is by run, and no frame is decoded for it."""
    with caplog.at_level(logging.INFO):
        list_frames(Recipe(**RECIPE), class_folders(tmp_path))
    assert "near-duplicates" not in caplog.text
