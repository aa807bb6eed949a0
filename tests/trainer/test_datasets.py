"""Every form of --data, and its problems."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from listings import kinds, named
from trainer_samples import CLASSES, class_folders, write_picture

from trainer.data import datasets
from trainer.errors import DataError


def test_class_folders_name_classes_and_runs(tmp_path: Path) -> None:
    """A class folder is the label, a sub-folder of it is the run, and other files are no frames."""
    write_picture(tmp_path / "good" / "a.png")
    write_picture(tmp_path / "bad" / "run-7" / "b.PNG")
    (tmp_path / "bad" / "notes.txt").write_text("no frame")
    (tmp_path / "bad" / ".hidden.png").write_text("no frame")

    listing = datasets.read(tmp_path)

    assert listing.classes == ["bad", "good"]
    assert named(listing) == [("bad/run-7/b.PNG", "bad", "run-7", None), ("good/a.png", "good", None, None)]
    assert not listing.problems


def test_json_gives_numbers_and_runs(tmp_path: Path) -> None:
    """A folder with one JSON file takes class numbers from it, and the run from the path's folder."""
    write_picture(tmp_path / "run 1" / "a.png")
    write_picture(tmp_path / "b.png")
    (tmp_path / "labels.json").write_text(json.dumps({"run 1/a.png": 1, "b.png": 0}))

    listing = datasets.read(tmp_path, CLASSES)

    assert named(listing) == [("b.png", "bad", None, None), ("run 1/a.png", "good", "run 1", None)]


def test_json_without_class_names_takes_the_numbers(tmp_path: Path) -> None:
    """If nothing names the classes, their numbers are the names, in order."""
    for name in "abc":
        write_picture(tmp_path / f"{name}.png")
    (tmp_path / "labels.json").write_text(json.dumps({"a.png": 2, "b.png": 0, "c.png": 1}))

    assert datasets.read(tmp_path).classes == ["0", "1", "2"]


@pytest.mark.parametrize(
    "text", ["path,label,run\na.png,good,r1\nb.png,0,\n", "a.png,good,r1\nb.png,0,\n"], ids=["header", "bare"]
)
def test_csv_takes_names_numbers_and_runs(tmp_path: Path, text: str) -> None:
    """A CSV has class names or numbers, with or without a header; an empty run is no run."""
    write_picture(tmp_path / "a.png")
    write_picture(tmp_path / "b.png")
    (tmp_path / "frames.csv").write_text(text)

    listing = datasets.read(tmp_path / "frames.csv", CLASSES)

    assert named(listing) == [("a.png", "good", "r1", None), ("b.png", "bad", None, None)]


def test_a_folder_that_holds_a_csv_is_read_by_it(tmp_path: Path) -> None:
    """A labels.csv beside class folders is used instead of them, because its runs may be better."""
    write_picture(tmp_path / "good" / "x" / "a.png")
    (tmp_path / "labels.csv").write_text("path,label,run\ngood/x/a.png,bad,other\n")

    assert named(datasets.read(tmp_path, CLASSES)) == [("good/x/a.png", "bad", "other", None)]


def test_parts_may_have_different_forms(tmp_path: Path) -> None:
    """The parts train, valid and test may have different forms, and the part is in each frame's name."""
    class_folders(tmp_path / "train", runs=1, frames=1)
    write_picture(tmp_path / "valid" / "a.png")
    (tmp_path / "valid" / "valid.json").write_text('{"a.png": 1}')
    write_picture(tmp_path / "test" / "a.png")
    (tmp_path / "test" / "t.csv").write_text("path,label\na.png,bad\n")

    assert named(datasets.read(tmp_path)) == [
        ("test/a.png", "bad", None, "test"),
        ("train/bad/bad-run0/0.png", "bad", "bad-run0", "train"),
        ("train/good/good-run0/0.png", "good", "good-run0", "train"),
        ("valid/a.png", "good", None, "valid"),
    ]


def test_everything_wrong_is_named_at_once(tmp_path: Path) -> None:
    """Missing files, unknown labels, double entries and empty classes are all in one list."""
    write_picture(tmp_path / "a.png")
    (tmp_path / "l.csv").write_text("path,label\na.png,goood\nb.png,good\na.png,bad\n./a.png,bad\nc.png,7\n")

    listing = datasets.read(tmp_path, [*CLASSES, "ugly"], to_train=True)

    assert [str(problem) for problem in listing.problems if problem.kind == "unknown label"] == [
        f"unknown label: '7' of c.png in {tmp_path / 'l.csv'}",
        f"unknown label: 'goood' of a.png in {tmp_path / 'l.csv'}; did you mean 'good'?",
    ]
    assert kinds(listing) == {"missing file": 2, "unknown label": 2, "listed twice": 1, "empty class": 2}


def test_unknown_class_folders_are_named(tmp_path: Path) -> None:
    """A folder that is no class of the recipe is a problem, so no frames are lost without a message."""
    class_folders(tmp_path, runs=1, frames=1, classes=("bad", "godo"))

    listing = datasets.read(tmp_path, CLASSES)

    assert [p.what for p in listing.problems] == [f"{tmp_path / 'godo'}; did you mean 'good'?"]


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({}, "no images"),
        ({"a.json": "{}", "b.json": "{}"}, "which of a.json, b.json"),
        ({"a.json": "[1]"}, "path: class number"),
        ({"a.json": "{"}, "not JSON"),
        ({"a.json": b"\xff\xfe\xfa"}, "unreadable label file"),
        ({"a.csv": "path,label\nlonely\n"}, "line 2"),
    ],
    ids=["empty", "two-json", "list", "broken", "not-text", "short-row"],
)
def test_data_that_cannot_be_listed_is_one_clear_error(
    tmp_path: Path, files: dict[str, str | bytes], words: str
) -> None:
    """Data that cannot be listed is refused with the reason and exit status 2."""
    for name, content in files.items():
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError, match=words) as caught:
        datasets.read(tmp_path)
    assert caught.value.exit_status == 2
    assert "\n" not in str(caught.value)


def test_missing_data_is_refused(tmp_path: Path) -> None:
    """A --data that does not exist, or is a file of another kind, is refused by name."""
    with pytest.raises(DataError, match="no such file or folder"):
        datasets.read(tmp_path / "nowhere")
    with pytest.raises(DataError, match="give a folder, or a CSV"):
        datasets.read(write_picture(tmp_path / "a.png"))
