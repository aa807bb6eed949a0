"""Every form of --data, and its problems."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from trainer_samples import CLASSES, class_folders, write_picture

from trainer.data import datasets
from trainer.errors import DataError


def named(listing: datasets.Listing) -> list[tuple[str, str, str | None, str | None]]:
    """Return name, class, run and part of every frame."""
    return [(f.name, listing.classes[f.label], f.run, f.part) for f in listing.frames]


def kinds(listing: datasets.Listing) -> Counter[str]:
    """Return the number of problems of each kind."""
    return Counter(problem.kind for problem in listing.problems)


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


def write_tree(root: Path, *names: str) -> None:
    """Write a picture for each name that ends with .png, and a few bytes for each other name."""
    for name in names:
        if name.endswith(".png"):
            write_picture(root / name)
        else:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(b"x")


def test_hidden_and_system_files_are_left_out_at_any_depth(tmp_path: Path) -> None:
    """Thumbnails, trash and notes of other systems are no frames, no classes and no runs, and are counted."""
    write_tree(tmp_path, "good/a.png", "bad/r1/b.png", "bad/Thumbs.db")
    write_tree(
        tmp_path,
        "good/.@__thumb/a.png",
        "good/r1/.ipynb_checkpoints/a.png",
        "good/._a.png",
        "bad/r1/@eaDir/b.png/SYNOPHOTO_THUMB_M.png",
        "bad/#Recycle/old.png",
        "__MACOSX/bad/._b.png",
        "$RECYCLE.BIN/c.png",
        "@eaDir/x.png",
    )

    listing = datasets.read(tmp_path)

    assert listing.classes == ["bad", "good"]
    assert named(listing) == [("bad/r1/b.png", "bad", "r1", None), ("good/a.png", "good", None, None)]
    assert listing.notes == [
        f"{tmp_path}: 9 hidden or system files are left out, for instance $RECYCLE.BIN/c.png"
    ]
    assert not listing.problems


@pytest.mark.parametrize(
    "folder",
    [
        "@eaDir", "@SynoResource", "@Recycle", "@Recently-Snapshot", "@tmp", "@sharesnap", "@appdata",
        "#recycle", "#snapshot", "~snapshot", ".snapshot", ".zfs", ".snapshots", ".Trash-1000", ".Trashes",
        ".AppleDouble", ".TemporaryItems", "Network Trash Folder", "Temporary Items", "trashbox",
        "TheVolumeSettingsFolder", "$RECYCLE.BIN", "$Recycle.Bin", "RECYCLER", "Recycle Bin", "FOUND.000",
        "System Volume Information", "lost+found", "__MACOSX", ".dropbox.cache", ".stfolder", ".thumbnails",
    ],
)  # fmt: skip
def test_folders_of_other_systems_are_no_classes_runs_or_parts(tmp_path: Path, folder: str) -> None:
    """Wherever such a folder is, its pictures are left out and counted."""
    write_tree(tmp_path, "train/good/r/a.png", "train/bad/r/b.png", "val/good/s/c.png")
    for place in ("", "train", "train/good", "train/good/r", "val/good"):
        write_tree(tmp_path, f"{place}/{folder}/x.png".lstrip("/"))
    listing = datasets.read(tmp_path)
    assert listing.classes == ["bad", "good"]
    assert [frame.name for frame in listing.frames] == [
        "train/bad/r/b.png", "train/good/r/a.png", "val/good/s/c.png",
    ]  # fmt: skip
    counts = [int(note.split(": ")[1].split()[0]) for note in listing.notes]
    assert sum(counts) == 5, listing.notes
    assert all("hidden or system files are left out" in note for note in listing.notes)


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("training_set", "train"), ("Train Set", "train"), ("trainset", "train"), ("TRAIN", "train"),
        ("train-images", "train"), ("val_set", "valid"), ("validation_data", "valid"), ("dev", "valid"),
        ("valid_images", "valid"), ("test_set", "test"), ("testset", "test"), ("Testing data", "test"),
    ],
)  # fmt: skip
def test_other_names_of_parts_are_parts(tmp_path: Path, name: str, part: str) -> None:
    """Names as data sets of other programs have them are parts, and no classes."""
    write_tree(tmp_path, f"{name}/good/a.png", f"{name}/bad/b.png")
    listing = datasets.read(tmp_path)
    assert listing.classes == ["bad", "good"]
    assert {frame.part for frame in listing.frames} == {part}


@pytest.mark.parametrize("name", ["eval", "holdout", "backup", "train_old", "test 2", "unlabelled"])
def test_a_folder_of_unknown_meaning_is_named(tmp_path: Path, name: str) -> None:
    """A name that may mean several parts, or none, is not guessed."""
    write_tree(tmp_path, "train/good/a.png", "train/bad/b.png", f"{name}/good/c.png")
    listing = datasets.read(tmp_path)
    assert len(listing.frames) == 2
    assert listing.notes == [f"{tmp_path / name} is not used (1 images), because it is beside train"]


def test_a_table_that_lists_thumbnails_does_not_bring_them_in(tmp_path: Path) -> None:
    """A hidden file is left out also if a label table lists it, as a script that walks folders does."""
    write_tree(tmp_path, "a.png", ".@__thumb/a.png")
    (tmp_path / "labels.json").write_text(json.dumps({"a.png": 0, ".@__thumb/a.png": 1}))
    listing = datasets.read(tmp_path, CLASSES)
    assert named(listing) == [("a.png", "bad", None, None)]
    assert listing.notes == [
        f"{tmp_path}: 1 hidden or system files are left out, for instance .@__thumb/a.png"
    ]


def test_data_below_a_hidden_folder_is_read(tmp_path: Path) -> None:
    """Only the path below --data decides if a file is hidden."""
    root = class_folders(tmp_path / ".cache" / "data", runs=1, frames=1)
    assert len(datasets.read(root).frames) == 2


@pytest.mark.parametrize("name", ["val", "validation", "Valid", "VAL"])
def test_the_usual_names_of_parts_are_parts(tmp_path: Path, name: str) -> None:
    """The held-out part may be named as Ultralytics, Keras or a person writes it."""
    write_tree(tmp_path, "Train/good/a.png", "Train/bad/a.png", f"{name}/good/b.png", "Test/good/c.png")
    assert [(f.name, f.part) for f in datasets.read(tmp_path).frames] == [
        ("Test/good/c.png", "test"),
        ("Train/bad/a.png", "train"),
        ("Train/good/a.png", "train"),
        (f"{name}/good/b.png", "valid"),
    ]


def test_two_folders_for_one_part_are_refused(tmp_path: Path) -> None:
    """If val and valid are both there, the intended one is unknown, so the data is refused."""
    write_tree(tmp_path, "train/good/a.png", "val/good/a.png", "valid/good/a.png")
    with pytest.raises(DataError, match="'val' and 'valid' are both 'valid'; keep one"):
        datasets.read(tmp_path)


def test_everything_beside_the_parts_is_named(tmp_path: Path) -> None:
    """Folders and tables beside train and val are named, with the number of images that are not used."""
    write_tree(tmp_path, "train/good/a.png", "val/good/b.png", "holdout/good/c.png", "labels.csv")
    write_tree(tmp_path, "@eaDir/x.png", "holdout/good/.@__thumb/c.png")
    assert datasets.read(tmp_path).notes == [
        f"{tmp_path / 'holdout'} is not used (1 images), because it is beside train, val",
        f"{tmp_path / 'labels.csv'} is not used, because it is beside train, val",
        f"{tmp_path}: 1 hidden or system files are left out, for instance @eaDir/x.png",
    ]


def test_a_class_that_is_named_like_a_part_stays_a_class(tmp_path: Path) -> None:
    """If the recipe names a class 'test', a folder of that name is the class."""
    write_tree(tmp_path, "good/a.png", "test/b.png")
    assert named(datasets.read(tmp_path, ["good", "test"])) == [
        ("good/a.png", "good", None, None),
        ("test/b.png", "test", None, None),
    ]


def test_one_class_in_two_unicode_forms_is_one_class(tmp_path: Path) -> None:
    """A name as macOS writes it, and as others write it, is the same class in one folder and in two parts."""
    composed, decomposed = "gut\u00f6", "guto\u0308"
    write_tree(tmp_path / "one", f"{composed}/a.png", f"{decomposed}/b.png", "bad/c.png")
    write_tree(tmp_path / "two", f"train/{composed}/a.png", "train/bad/c.png", f"test/{decomposed}/b.png")

    one, two = datasets.read(tmp_path / "one"), datasets.read(tmp_path / "two")

    for listing in (one, two):
        assert listing.classes == ["bad", composed]
        assert [frame.label for frame in listing.frames].count(1) == 2
        assert not listing.problems
    assert "2 folders are named 'gut\u00f6', in different Unicode forms" in one.notes[0]


def test_classes_that_differ_only_by_case_are_refused(tmp_path: Path) -> None:
    """'Good' and 'good' are named, in class folders, in a table and in two parts."""
    write_tree(tmp_path / "folders", "Good/a.png", "good/b.png", "bad/c.png")
    write_tree(tmp_path / "table", "a.png", "b.png")
    (tmp_path / "table" / "labels.csv").write_text("path,label\na.png,Good\nb.png,good\n")
    for form in ("folders", "table"):
        problems = [str(problem) for problem in datasets.read(tmp_path / form).problems]
        assert problems == ["classes that look alike: 'Good', 'good'; rename one"]
    write_tree(tmp_path / "parts", "train/GOOD/a.png", "train/bad/a.png", "val/good/b.png")
    [problem] = datasets.read(tmp_path / "parts").problems
    assert str(problem).endswith("good; did you mean 'GOOD'?")


@pytest.mark.parametrize(
    "other",
    [
        "GOOD  weld",
        "good\u00a0weld",
        "good\u200b weld",
        "\uff47ood weld",
        "good\u00ad weld",
        "good weld\u3000",
    ],
)
def test_classes_that_look_alike_are_refused(tmp_path: Path, other: str) -> None:
    """Spaces of other kinds, invisible letters and letters of another width make no second class."""
    write_tree(tmp_path, "good weld/a.png", f"{other}/b.png", "bad/c.png")
    [problem] = datasets.read(tmp_path).problems
    assert problem.kind == "classes that look alike"
    assert repr(other) in problem.what


def test_files_that_are_not_read_are_counted_by_ending(tmp_path: Path) -> None:
    """Images of other formats, files without an ending and images outside class folders are counted."""
    write_tree(tmp_path, "good/a.png", "good/b.WEBP", "bad/r/c.webp", "bad/d.heic", "bad/e", "loose.png")
    assert datasets.read(tmp_path).notes == [
        f"{tmp_path}: 1 × .heic: not read",
        f"{tmp_path}: 2 × .webp: not read",
        f"{tmp_path}: 1 × no ending: not read",
        f"{tmp_path}: 1 images are in no class folder, so they are not used",
    ]


@pytest.mark.parametrize(
    ("labels", "held_out"),
    [({"a.png": 0, "b.png": 1, "c.png": 2, "d.png": 5}, 3), ({"a.png": 3, "b.png": 7}, 1)],
)
def test_numbers_that_name_classes_are_no_positions(
    tmp_path: Path, labels: dict[str, int], held_out: int
) -> None:
    """Of the labels 0, 1, 2 and 5, a 3 in another part or in a test is unknown, and not the fourth class."""
    write_tree(tmp_path, *(f"train/{name}" for name in labels), "valid/x.png", "valid/y.png")
    (tmp_path / "train" / "labels.json").write_text(json.dumps(labels))
    (tmp_path / "valid" / "labels.json").write_text(json.dumps({"x.png": held_out, "y.png": 7 - 2}))
    for classes in ([], [str(label) for label in labels.values()]):
        listing = datasets.read(tmp_path, classes)
        assert f"{held_out} of x.png" in " ".join(p.what for p in listing.problems)
        assert "valid/x.png" not in [frame.name for frame in listing.frames]


def test_missing_data_is_refused(tmp_path: Path) -> None:
    """A --data that does not exist, or is a file of another kind, is refused by name."""
    with pytest.raises(DataError, match="no such file or folder"):
        datasets.read(tmp_path / "nowhere")
    with pytest.raises(DataError, match="give a folder, or a CSV"):
        datasets.read(write_picture(tmp_path / "a.png"))
