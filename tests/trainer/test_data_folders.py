"""Names in data folders: system files, parts and classes of all spellings, and files that are not read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from listings import named, write_tree
from trainer_samples import CLASSES, class_folders

from trainer.data import datasets
from trainer.errors import DataError


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
