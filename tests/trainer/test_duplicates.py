"""Frames with the same bytes or the same pixels, under two labels or in two parts."""

from __future__ import annotations

import io
import json
import logging
import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image
from rich.console import Console
from tiny_runs import RECIPE, run
from trainer_samples import CLASSES, class_folders, write_picture

from trainer.data import datasets, duplicates, splits, unlabelled
from trainer.data.datasets import Frame
from trainer.errors import DataError, RunError
from trainer.pipeline import Stage, list_frames
from trainer.recipe import Recipe
from trainer.run.folder import RunFolder
from trainer.run.progress import Progress
from trainer.run.reading import Reader

QUICK = {"training": RECIPE["training"] | {"epochs": 1}, "ensemble": {"teachers": 1}}


def copy(source: Path, target: Path) -> None:
    """Copy a file, with the folders of its target."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def test_one_image_under_two_labels_is_refused_by_name(tmp_path: Path) -> None:
    """Each group of copies with two labels is a problem; copies with one label and links are none."""
    data = class_folders(tmp_path, runs=2, frames=2)
    copy(data / "good" / "good-run0" / "0.png", data / "bad" / "x.png")
    copy(data / "good" / "good-run1" / "0.png", data / "bad" / "y.png")
    copy(data / "good" / "good-run0" / "1.png", data / "good" / "same.png")
    listing = list_frames(Recipe(**RECIPE), data)
    assert [str(problem) for problem in listing.problems] == [
        "one image under two labels: bad/x.png (bad) = good/good-run0/0.png (good)",
        "one image under two labels: bad/y.png (bad) = good/good-run1/0.png (good)",
    ]
    with pytest.raises(DataError, match="2 × one image under two labels"):
        run(data, tmp_path / "out", Stage.TEACHERS, **QUICK)


def test_one_image_in_two_parts_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Copies across train, valid and test are named with their number."""
    for number, part in enumerate(("train", "val", "test")):
        class_folders(tmp_path / part, runs=1, frames=1, classes=["bad", f"good{number}"][:1])
        write_picture(tmp_path / part / "good" / "g.png", 1, number)
        (tmp_path / part / "bad" / "bad-run0").rename(tmp_path / part / "bad" / f"run{number}")
    copy(tmp_path / "train" / "good" / "g.png", tmp_path / "test" / "good" / "copy.png")
    with caplog.at_level(logging.WARNING):
        list_frames(Recipe(**RECIPE), tmp_path)
    [said] = [line for line in caplog.messages if "same bytes" in line]
    assert said.startswith("2 images are in two parts with the same bytes")
    assert "test/good/copy.png (test) = train/good/g.png (train)" in said
    assert "test/bad/run2/0.png (test) = train/bad/run0/0.png (train) = val/bad/run1/0.png (valid)" in said


def test_one_picture_in_two_formats_under_two_labels_is_refused(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A copy in another format has other bytes and the same pixels; it is found when frames are decoded."""
    data = class_folders(tmp_path / "data")
    with Image.open(data / "good" / "good-run0" / "0.png") as picture:
        picture.save(data / "bad" / "bad-run1" / "copy.bmp")
    with pytest.raises(DataError, match="1 × one image under two labels") as caught:
        run(data, tmp_path / "out", Stage.TEACHERS, **QUICK)
    assert "copy.bmp (bad) = " in str(caught.value)
    (data / "bad" / "bad-run1" / "copy.bmp").rename(data / "good" / "copy.bmp")
    for part in ("train", "valid"):
        (tmp_path / "parts" / part).mkdir(parents=True)
        for name in CLASSES:
            run_folder = "run0" if part == "train" else "run1"
            copy(
                data / name / f"{name}-{run_folder}" / "0.png",
                tmp_path / "parts" / part / name / part / "0.png",
            )
    copy(data / "good" / "copy.bmp", tmp_path / "parts" / "valid" / "good" / "valid" / "copy.bmp")
    with caplog.at_level(logging.WARNING):
        run(tmp_path / "parts", tmp_path / "out2", Stage.TEACHERS, **QUICK)
    assert "1 images are in two parts with the same pixels" in caplog.text
    assert "same bytes" not in caplog.text


def test_copies_without_a_run_stay_in_one_part() -> None:
    """A random split never divides copies, and is the same as before if there are none."""
    frames = [Frame(Path(f"{n}"), f"{n}", n % 2, sha256=f"{n // 4}-{n % 2}") for n in range(80)]
    split = splits.hold_out(frames, share=0.3, seed=1)
    parts: dict[str | None, set[str | None]] = {}
    for frame in split:
        parts.setdefault(frame.sha256, set()).add(frame.part)
    assert all(len(found) == 1 for found in parts.values())
    own = [Frame(frame.path, frame.name, frame.label, sha256=frame.name) for frame in frames]
    bare = [Frame(frame.path, frame.name, frame.label) for frame in frames]
    chosen = [[f.part for f in splits.hold_out(each, share=0.3, seed=1)] for each in (own, bare)]
    assert chosen[0] == chosen[1]


def test_a_pair_of_copies_leaves_the_split_of_other_frames() -> None:
    """With a pair of copies among 200 frames few others change their part, so results stay comparable."""
    own = [Frame(Path(f"{n}"), f"{n}", n % 2, sha256=f"{n}") for n in range(200)]
    pair = [Frame(Path("0"), "0", 0, sha256="2"), *own[1:]]
    parts = [[f.part for f in splits.hold_out(each, share=0.2, seed=0)] for each in (own, pair)]
    assert sum(one != other for one, other in zip(*parts, strict=True)) <= 4


@pytest.mark.parametrize("part", ["valid", None])
def test_a_class_that_the_held_out_part_lacks_is_named(
    part: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    """The class is named, not numbered, whether the data or the split gives the held-out part."""
    frames = [
        Frame(Path("a"), "a", 0, "r1", part and "train"),
        Frame(Path("c"), "c", 1, "r3", part and "train"),
    ]
    frames += [Frame(Path("b"), "b", 0, "r2", part)]
    with caplog.at_level(logging.WARNING):
        splits.hold_out(frames, share=0.5, seed=0, classes=CLASSES)
    assert "'valid' has no frames of the classes good: nothing is measured of them" in caplog.text


def test_other_pictures_under_the_same_names_are_another_run(tmp_path: Path) -> None:
    """A run does not resume with other bytes, in labelled frames or in frames without labels."""
    data, out = class_folders(tmp_path / "data"), tmp_path / "out"
    run(data, out, Stage.TEACHERS, **QUICK)
    run(data, out, Stage.TEACHERS, **QUICK)
    write_picture(data / "good" / "good-run0" / "0.png", 1, 4711)
    with pytest.raises(RunError, match="the data's split is"):
        run(data, out, Stage.TEACHERS, **QUICK)
    names = [Frame(tmp_path / "x.png", "x.png", -1)]
    prints = set()
    for seed in (1, 2):
        write_picture(tmp_path / "x.png", 0, seed)
        prints.add(unlabelled.fingerprint(duplicates.with_hashes(names)))
    assert len(prints) == 2


def test_copies_of_labelled_frames_are_not_unlabelled(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The archive's copies of held-out frames under other names are left out, and counted."""
    data, archive = class_folders(tmp_path / "data"), tmp_path / "archive"
    copy(data / "good" / "good-run0" / "0.png", archive / "2026" / "PASS" / "renamed.0a1b.png")
    copy(data / "bad" / "bad-run0" / "0.png", archive / "2026" / "FAIL" / "renamed.2c3d.png")
    write_picture(archive / "2026" / "PASS" / "new.png", 1, 99)
    with caplog.at_level(logging.INFO):
        found = unlabelled.find(archive, datasets.read(data).frames)
    assert [frame.name for frame in found] == ["2026/PASS/new.png"]
    assert f"2 images in {archive} are labelled frames" in caplog.text


def test_a_copy_in_another_format_is_not_unlabelled(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A held-out frame that the folder of unlabelled frames has as TIFF is left out by its pixels."""
    data = class_folders(tmp_path / "data")
    recipe = Recipe(**RECIPE | {"distillation": {"epochs": 1, "confidence": 0.0}})
    listing = list_frames(recipe, data)
    more = tmp_path / "more"
    write_picture(more / "new.png", 1, 99)
    for number, frame in enumerate([listing.part("valid")[0], listing.part("train")[0]]):
        with Image.open(frame.path) as picture:
            picture.save(more / f"{number}.tif")
    with RunFolder(tmp_path / "out") as folder, caplog.at_level(logging.INFO):
        reader = Reader(recipe, folder, Progress(Console(file=io.StringIO())))
        train, _ = reader.labelled(listing)
        frames = reader.with_unlabelled(train, more, listing, [Teacher(tmp_path / "nothing")])
    assert [frame.name for frame in frames.frames[len(train) :]] == ["new.png"]
    assert "2 unlabelled images are copies of labelled frames" in caplog.text


class Teacher(torch.nn.Module):
    """A network that answers, and in whose time a file disappears."""

    def __init__(self, gone: Path) -> None:
        super().__init__()
        self._gone = gone
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """Return the same logits for each frame."""
        self._gone.unlink(missing_ok=True)
        return torch.zeros(len(frames), 2)


def test_an_unlabelled_frame_that_is_gone_is_never_learnt_as_black(tmp_path: Path) -> None:
    """A frame that its teachers judged and that cannot be read afterwards stops the run by name."""
    data = class_folders(tmp_path / "data")
    gone = write_picture(tmp_path / "more" / "new (1).png", 1, 99)
    recipe = Recipe(**RECIPE | {"distillation": {"epochs": 1, "confidence": 0.0}})
    listing = list_frames(recipe, data)
    with RunFolder(tmp_path / "out") as folder:
        reader = Reader(recipe, folder, Progress(Console(file=io.StringIO())))
        train, _ = reader.labelled(listing)
        with pytest.raises(DataError, match=r"new \(1\)\.png"):
            reader.with_unlabelled(train, tmp_path / "more", listing, [Teacher(gone)])


def test_numbers_in_a_json_of_another_part_are_checked_before_training(tmp_path: Path) -> None:
    """A run with labels 0, 1, 2, 5 and a held-out 3 is refused, and 3 is named."""
    for number in range(4):
        write_picture(tmp_path / "train" / f"{number}.png", 0, number)
    write_picture(tmp_path / "valid" / "x.png", 0, 77)
    labels = {f"{n}.png": label for n, label in enumerate((0, 1, 2, 5))}
    (tmp_path / "train" / "l.json").write_text(json.dumps(labels))
    (tmp_path / "valid" / "l.json").write_text(json.dumps({"x.png": 3}))
    with pytest.raises(DataError, match="1 × unknown label"):
        run(tmp_path, tmp_path / "out", Stage.TEACHERS, **QUICK | {"accept": ["0"]})
