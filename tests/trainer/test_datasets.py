"""Every form of --data, what is wrong with it, and which frames are held out."""

from __future__ import annotations

import json
import logging
from collections import Counter
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from trainer_samples import CLASSES, class_folders, write_picture

from trainer.data import datasets, frames, splits
from trainer.data.datasets import Frame
from trainer.data.resizing import prepare
from trainer.errors import DataError, Problem, UsageError


def named(listing: datasets.Listing) -> list[tuple[str, str, str | None, str | None]]:
    """Name, class, run and part of every frame."""
    return [(f.name, listing.classes[f.label], f.run, f.part) for f in listing.frames]


def kinds(listing: datasets.Listing) -> Counter[str]:
    """How many problems there are of each kind."""
    return Counter(problem.kind for problem in listing.problems)


def test_class_folders_name_classes_and_runs(tmp_path: Path) -> None:
    """A class folder's name is the label, and a sub-folder below it is the run; other files are no frames."""
    write_picture(tmp_path / "good" / "a.png")
    write_picture(tmp_path / "bad" / "run-7" / "b.PNG")
    (tmp_path / "bad" / "notes.txt").write_text("no frame")
    (tmp_path / "bad" / ".hidden.png").write_text("no frame")

    listing = datasets.read(tmp_path)

    assert listing.classes == ["bad", "good"]
    assert named(listing) == [("bad/run-7/b.PNG", "bad", "run-7", None), ("good/a.png", "good", None, None)]
    assert not listing.problems


def test_json_gives_numbers_and_runs(tmp_path: Path) -> None:
    """A folder with one JSON takes class numbers from it and the run from each path's folder."""
    write_picture(tmp_path / "run 1" / "a.png")
    write_picture(tmp_path / "b.png")
    (tmp_path / "labels.json").write_text(json.dumps({"run 1/a.png": 1, "b.png": 0}))

    listing = datasets.read(tmp_path, CLASSES)

    assert named(listing) == [("b.png", "bad", None, None), ("run 1/a.png", "good", "run 1", None)]


def test_json_without_class_names_takes_the_numbers(tmp_path: Path) -> None:
    """Where nothing names the classes, their numbers do, in order."""
    for name in "abc":
        write_picture(tmp_path / f"{name}.png")
    (tmp_path / "labels.json").write_text(json.dumps({"a.png": 2, "b.png": 0, "c.png": 1}))

    assert datasets.read(tmp_path).classes == ["0", "1", "2"]


@pytest.mark.parametrize(
    "text", ["path,label,run\na.png,good,r1\nb.png,0,\n", "a.png,good,r1\nb.png,0,\n"], ids=["header", "bare"]
)
def test_csv_takes_names_numbers_and_runs(tmp_path: Path, text: str) -> None:
    """A CSV may name or number its labels, with a header or without; an empty run is none."""
    write_picture(tmp_path / "a.png")
    write_picture(tmp_path / "b.png")
    (tmp_path / "frames.csv").write_text(text)

    listing = datasets.read(tmp_path / "frames.csv", CLASSES)

    assert named(listing) == [("a.png", "good", "r1", None), ("b.png", "bad", None, None)]


def test_a_folder_that_holds_a_csv_is_read_by_it(tmp_path: Path) -> None:
    """labels.csv beside class folders wins over them, as its runs may be better named."""
    write_picture(tmp_path / "good" / "x" / "a.png")
    (tmp_path / "labels.csv").write_text("path,label,run\ngood/x/a.png,bad,other\n")

    assert named(datasets.read(tmp_path, CLASSES)) == [("good/x/a.png", "bad", "other", None)]


def test_parts_may_have_different_forms(tmp_path: Path) -> None:
    """train, valid and test are each read in their own form, and their names tell them apart."""
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
    """Missing files, unknown labels, double entries and empty classes all stand in one list."""
    write_picture(tmp_path / "a.png")
    (tmp_path / "l.csv").write_text("path,label\na.png,goood\nb.png,good\na.png,bad\n./a.png,bad\nc.png,7\n")

    listing = datasets.read(tmp_path, [*CLASSES, "ugly"], to_train=True)

    assert [str(problem) for problem in listing.problems if problem.kind == "unknown label"] == [
        f"unknown label: '7' of c.png in {tmp_path / 'l.csv'}",
        f"unknown label: 'goood' of a.png in {tmp_path / 'l.csv'}; did you mean 'good'?",
    ]
    assert kinds(listing) == {"missing file": 2, "unknown label": 2, "listed twice": 1, "empty class": 2}


def test_unknown_class_folders_are_named(tmp_path: Path) -> None:
    """A folder that is no class of the recipe is a problem, not a silent loss of frames."""
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
        ({"a.csv": "path,label\nlonely\n"}, "row 1"),
    ],
    ids=["empty", "two-json", "list", "broken", "not-text", "short-row"],
)
def test_hopeless_data_is_one_clear_error(tmp_path: Path, files: dict[str, str | bytes], words: str) -> None:
    """Data that cannot be listed at all is refused with its reason and exit status 2."""
    for name, content in files.items():
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError, match=words) as caught:
        datasets.read(tmp_path)
    assert caught.value.exit_status == 2
    assert "\n" not in str(caught.value)


def test_missing_data_is_refused(tmp_path: Path) -> None:
    """A --data that does not exist, or is a file of another kind, is named."""
    with pytest.raises(DataError, match="no such file or folder"):
        datasets.read(tmp_path / "nowhere")
    with pytest.raises(DataError, match="give a folder, or a CSV"):
        datasets.read(write_picture(tmp_path / "a.png"))


def frame(name: str, label: int, run: str | None, part: str | None = None) -> Frame:
    """A frame that is nowhere on disk: splitting opens none."""
    return Frame(Path(name), name, label, run, part)


labelled_runs = st.lists(
    st.tuples(st.integers(0, 3), st.one_of(st.none(), st.integers(0, 9))), min_size=1, max_size=60
)


@given(labelled_runs, st.floats(0.05, 0.5), st.integers(0, 5))
def test_no_run_is_torn_and_no_class_leaves_train(
    rows: list[tuple[int, int | None]], share: float, seed: int
) -> None:
    """Whatever the runs are: each lies in one part, every class stays in train, no frame is lost."""
    pool = [frame(f"{i}.png", label, run and f"run{run}") for i, (label, run) in enumerate(rows)]

    split = splits.hold_out(pool, share=share, seed=seed)

    assert [f.name for f in split] == [f.name for f in pool]
    parts = {run: {f.part for f in split if f.run == run} for run in {f.run for f in split} - {None}}
    assert all(len(found) == 1 for found in parts.values())
    assert {f.label for f in split if f.part == "train"} == {f.label for f in pool}
    assert split == splits.hold_out(list(reversed(pool)), share=share, seed=seed)[::-1]


def test_split_by_run_is_stratified() -> None:
    """With enough runs each class has about the wanted share held out."""
    pool = [frame(f"{c}-{r}-{i}", c, f"{c}-{r}") for c in range(3) for r in range(10) for i in range(5)]
    held = Counter(f.label for f in splits.hold_out(pool, share=0.2, seed=0) if f.part == "valid")
    assert held == {0: 10, 1: 10, 2: 10}


def test_without_runs_the_split_is_random_stratified_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    """Frames of no run are split one by one, a fifth of each class, with a warning."""
    pool = [frame(f"{c}-{i}", c, None) for c in range(2) for i in range(20 + 10 * c)]
    with caplog.at_level(logging.WARNING):
        split = splits.hold_out(pool, share=0.2, seed=3)
    assert Counter(f.label for f in split if f.part == "valid") == {0: 4, 1: 6}
    assert "50 of 50 frames belong to no run" in caplog.text
    assert split != splits.hold_out(pool, share=0.2, seed=4)


def test_a_given_valid_part_stands(caplog: pytest.LogCaptureFixture) -> None:
    """A valid part in the data is taken as it is; runs on both sides are refused unless allowed by name."""
    pool = [frame("a", 0, "r1", "train"), frame("b", 0, "r1", "valid"), frame("c", 1, "r2", "train")]
    with pytest.raises(DataError, match=r"share 1 runs.*--set 'data.shared_runs=\['r1'\]'.*: r1"):
        splits.hold_out(pool, share=0.5, seed=0, shared_runs=["r2"])
    with caplog.at_level(logging.WARNING):
        assert splits.hold_out(pool, share=0.5, seed=0, shared_runs=["r1"]) == pool
    assert "share runs, which flatters: r1" in caplog.text
    assert splits.hold_out(pool[1:], share=0.5, seed=0) == pool[1:]


def test_fingerprint_depends_on_frames_labels_and_parts_alone() -> None:
    """Order and runs do not matter; a moved frame, another label or another class name does."""
    one, two = frame("a", 0, "r", "train"), frame("b", 1, "r", "valid")
    base = splits.fingerprint([one, two], CLASSES)
    assert base == splits.fingerprint([two, one], CLASSES)
    others = [
        splits.fingerprint([one, frame("b", 1, "r", "train")], CLASSES),
        splits.fingerprint([one, frame("b", 0, "r", "valid")], CLASSES),
        splits.fingerprint([one, two], ("bad", "fine")),
        splits.fingerprint([one], CLASSES),
    ]
    assert len({base, *others}) == 5


def load(root: Path, problems: list[Problem], size: tuple[int, int] = (64, 64)) -> frames.FrameSet:
    """Read a folder's frames with the one resize."""
    return frames.load(
        datasets.read(root).frames,
        size=size,
        resize=lambda image: prepare(image, *size),
        bit_depth=8,
        problems=problems,
        spill_folder=root,
    )


def test_frames_are_decoded_in_order(tmp_path: Path) -> None:
    """Row i is frame i, decoded and resized by the one prepare, with its label."""
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
        (200 * 160, 1, (80, 80)),  # its own
        (200 * 160, 2, (160, 160)),  # twice
        (110 * 110, 2, (110, 110)),  # as far as the pixels go
        (70 * 70, 2, (70, 70)),  # shrunk
        (32 * 32, 1, (64, 64)),  # what the network needs
    ],
)
def test_the_size_is_the_datas_within_limits(
    tmp_path: Path, pixels: int, enlarge: float, size: tuple[int, int]
) -> None:
    """Frames keep their size, grow as far as they may, and shrink to the pixels that are allowed."""
    listing = datasets.read(class_folders(tmp_path), [])
    assert frames.choose_view_size(listing.frames, pixels, 8, enlarge) == size


def test_every_unreadable_image_is_named(tmp_path: Path) -> None:
    """Damaged files are all named with their reasons, and the others are still read."""
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
    """Too little memory costs a warning, not a frame: the same pixels come from a nameless file."""
    in_memory = load(class_folders(tmp_path), [])
    monkeypatch.setattr(frames, "available_memory", lambda: 1000)
    with caplog.at_level(logging.WARNING):
        on_disk = load(tmp_path, [])
    assert torch.equal(in_memory.images, on_disk.images)
    assert "more than memory can take" in caplog.text
    assert not list(tmp_path.glob("tmp*"))


def test_no_room_anywhere_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where neither memory nor disk can take the frames, that is said before any is decoded."""
    class_folders(tmp_path, runs=1, frames=1)
    monkeypatch.setattr(frames, "available_memory", lambda: 1000)
    with pytest.raises(UsageError, match=r"free some, or set a smaller network\.height"):
        load(tmp_path, [], size=(2**25, 2**20))


def test_available_memory_is_a_sensible_number() -> None:
    """The system's word is between a megabyte and an exabyte."""
    assert 1e6 < frames.available_memory() < 1e18
