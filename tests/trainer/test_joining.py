"""Several --data joined into one: classes by name, one frame for each image, honest splits."""

from __future__ import annotations

import json
import logging
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from tiny_runs import epochs, only_json, read_csv, weld_train, write_recipe
from trainer_samples import CLASSES, class_folders, write_picture

from trainer.data import joining, splits
from trainer.data.datasets import Frame, Listing
from trainer.data.joining import DataSets
from trainer.errors import DataError

LATER, EARLIER = "2026-11-20T08:00:00.5Z", "2026-11-19T08:00:00+01:00"


def read(*paths: Path, classes: tuple[str, ...] = (), later: bool = False) -> Listing:
    """List several sets to train on."""
    return joining.read(DataSets(paths, "later" if later else "refuse"), classes, bit_depth=8)


def labels(listing: Listing) -> dict[str, str]:
    """Return the class of each frame."""
    return {frame.name: listing.classes[frame.label] for frame in listing.frames}


def reviewed(root: Path, *rows: tuple[str, int, int, str, str, str]) -> Path:
    """Write a CSV set: file name, what the picture shows and its seed, label, run, time of the label."""
    for name, shown, seed, *_ in rows:
        write_picture(root / name, shown, seed)
    lines = [f"{name},{label},{run},P1,s1,{time}" for name, _, _, label, run, time in rows]
    (root / "labels.csv").write_text("\n".join(["path,label,run,part,seam,decided", *lines]) + "\n")
    return root


def test_classes_are_joined_by_name(tmp_path: Path) -> None:
    """Sets that name their classes in other orders and forms give the same labels, and no class is lost."""
    old = class_folders(tmp_path / "old", runs=1, frames=1)
    new = reviewed(tmp_path / "new", ("a.png", 1, 7, "good", "r1", ""), ("b.png", 0, 8, "crack", "r2", LATER))
    listing = read(old, new)
    assert not listing.problems
    assert listing.classes == ["bad", "crack", "good"]
    assert labels(listing) == {
        "new/a.png": "good",
        "new/b.png": "crack",
        "old/bad/bad-run0/0.png": "bad",
        "old/good/good-run0/0.png": "good",
    }
    assert labels(read(new, old)) == labels(listing)
    numbered = write_picture(tmp_path / "numbered" / "run9" / "x.png", 1, 9).parents[1]
    (numbered / "l.json").write_text('{"run9/x.png": 0}')
    by_recipe = read(old, numbered, classes=("good", "bad"))
    assert labels(by_recipe)["numbered/run9/x.png"] == "good"
    with_names = [str(problem) for problem in read(old, numbered).problems]
    assert with_names == [
        f"numbers for classes: {numbered}; the other data has names: list them in the recipe's 'classes'"
    ]


def test_an_image_with_two_labels_is_named_or_keeps_the_later_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The later decision wins, a label without a time is older, and the set named later breaks a tie."""
    old = class_folders(tmp_path / "old", runs=1, frames=1)  # bad and good, seed 0, without times
    first = reviewed(tmp_path / "first", ("a.png", 0, 0, "good", "r1", EARLIER))
    second = reviewed(tmp_path / "second", ("b.png", 0, 0, "bad", "r1", LATER))
    (conflict,) = read(old, first).problems
    assert conflict.kind == "one image under two labels"
    assert conflict.what == (
        "old/bad/bad-run0/0.png (bad) = first/a.png (good); correct one, or give --on-conflict later"
    )
    with caplog.at_level(logging.WARNING):
        assert labels(read(first, old, later=True))["first/a.png"] == "good"
    assert "1 images have two labels, and the later one is kept: first/a.png (good) = old/" in caplog.text
    assert labels(read(second, first, later=True)) == {"second/b.png": "bad"}
    other = write_picture(tmp_path / "other" / "good" / "c.png", 0, 0).parents[1]
    assert labels(read(old, other, later=True))["old/bad/bad-run0/0.png"] == "good"
    assert labels(read(other, old, later=True))["other/good/c.png"] == "bad"


def test_two_labels_of_one_set_without_times_have_no_later_one(tmp_path: Path) -> None:
    """If nothing says which label is later, the image stays a problem."""
    for name in CLASSES:
        write_picture(tmp_path / "old" / name / "a.png", 0, 0)
    (problem,) = read(tmp_path / "old", later=True).problems
    assert str(problem).endswith("neither is the later one")


def test_a_copy_in_another_format_is_the_same_image(tmp_path: Path) -> None:
    """Images are compared by their pixels, and each is one frame, in the run that any of them has."""
    old = write_picture(tmp_path / "old" / "bad" / "a.png", 0, 5).parents[1]
    write_picture(tmp_path / "old" / "good" / "g.png", 1, 6)
    new = reviewed(tmp_path / "new", ("b.png", 0, 4, "bad", "seam 1", ""))
    Image.open(old / "bad" / "a.png").save(new / "c.bmp")
    with (new / "labels.csv").open("a") as table:
        table.write("c.bmp,bad,seam 1,P1,s1,\n")
    found = {frame.name: frame.run for frame in read(old, new).frames}
    assert found == {"old/bad/a.png": "seam 1", "old/good/g.png": None, "new/b.png": "seam 1"}


def test_a_set_without_parts_follows_the_runs_of_the_other(tmp_path: Path) -> None:
    """Reviewed frames of a held-out run are held out, and the others are learnt from."""
    for part in ("train", "valid"):
        class_folders(tmp_path / "old" / part, runs=1, frames=1, seed=ord(part[0]))
    for part in ("train", "valid"):
        for name in CLASSES:
            (tmp_path / "old" / part / name / f"{name}-run0").rename(tmp_path / "old" / part / name / part)
    new = reviewed(
        tmp_path / "new",
        ("a.png", 0, 70, "bad", "valid", LATER),
        ("b.png", 1, 71, "good", "train", LATER),
        ("c.png", 1, 72, "good", "seam 2", LATER),
    )
    parts = {frame.name: frame.part for frame in read(tmp_path / "old", new).frames}
    assert [parts[f"new/{name}.png"] for name in "abc"] == ["valid", "train", "train"]
    assert sorted(filter(None, parts.values())) == ["train"] * 4 + ["valid"] * 3


frames_of_sets = st.lists(
    st.tuples(
        st.integers(0, 2),  # set
        st.integers(0, 12),  # image
        st.one_of(st.none(), st.integers(0, 5)),  # run
        st.sampled_from([None, None, "train", "valid", "test"]),
    ),
    min_size=1,
    max_size=40,
)


@given(frames_of_sets, st.integers(0, 3))
def test_no_image_or_run_of_two_sets_is_on_two_sides(
    rows: list[tuple[int, int, int | None, str | None]], seed: int
) -> None:
    """For any sets, runs and parts, each image is one frame, and shared runs and images are not divided."""
    images: dict[int, list[joining.Member]] = defaultdict(list)
    for place, (number, image, run, part) in enumerate(sorted(rows, key=lambda row: row[0])):
        name = f"{number}/{place}.png"
        images[image].append(
            (number, Frame(Path(name), name, image % 3, None if run is None else f"run{run}", part))
        )
    copies = list(images.values())

    frames = joining.one_each(copies)

    assert [frame.name for frame in frames] == [each[0][1].name for each in copies]
    given_runs = defaultdict(set)
    sets_of = defaultdict(set)
    for frame, members in zip(frames, copies, strict=True):
        assert all(member.run is None or frame.run is not None for _, member in members)
        given_runs[frame.run].add(frame.part)
        sets_of[frame.run].update(number for number, _ in members)
    shared = {run for run, numbers in sets_of.items() if len(numbers) > 1} - {None}
    assert all(len(given_runs[run]) == 1 for run in shared)
    for each in copies:
        linked = {member.run for _, member in each} - {None}
        ends = {
            frame.run
            for frame, others in zip(frames, copies, strict=True)
            for _, o in others
            if o.run in linked
        }
        assert len(ends) <= 1, "runs that share an image are one run"
    undivided = [replace(frame, part=None if frame.part == "valid" else frame.part) for frame in frames]
    split = splits.hold_out(undivided, share=0.3, seed=seed)
    sides = defaultdict(set)
    for frame in split:
        sides[frame.run].add(frame.part)
    assert all(sides[run] in ({"train"}, {"valid"}, {"test"}) for run in shared)


@pytest.fixture(scope="module")
def joined(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a folder with two sets, and a recipe for them."""
    folder = tmp_path_factory.mktemp("joined")
    class_folders(folder / "old")
    new = [(f"{n}.png", n % 2, 900 + n, CLASSES[n % 2], f"seam {n // 2}", LATER) for n in range(6)]
    reviewed(folder / "new", *new, ("again.png", 0, 0, "good", "seam 9", LATER))
    write_recipe(folder / "tiny.yaml", **epochs(1), ensemble={"teachers": 1})
    return folder


def test_a_run_on_two_sets_is_resumed_and_evaluated(joined: Path) -> None:
    """A run takes two sets, refuses two labels in one line, records both sets, and resumes with them."""
    sets = ["--data", joined / "old", "--data", joined / "new"]
    arguments = ["run", joined / "tiny.yaml", *sets, "--out", joined / "out", "--json"]
    status, _, stderr = weld_train(*arguments)
    assert status == 2
    assert stderr.splitlines()[-1].startswith(
        f"weld-train: {joined / 'old'}, {joined / 'new'}: 1 × one image"
    )
    arguments += ["--on-conflict", "later"]
    status, stdout, stderr = weld_train(*arguments)
    assert status == 0, stderr
    result = only_json(stdout)
    assert result["n"] + result["n_train"] == 18
    assert result["data"] == [str(joined / "old"), str(joined / "new")]
    rows = read_csv(joined / "out" / "split.csv")
    assert {row["label"] for row in rows if row["path"] == "old/bad/bad-run0/0.png"} == {"good"}
    assert "1 images have two labels" in stderr
    assert only_json(weld_train(*arguments)[1])["split_fingerprint"] == result["split_fingerprint"]
    status, stdout, stderr = weld_train("table", "--run", joined / "out", "--json")
    assert status == 0, stderr
    assert "figure-1-and-10.png" in only_json(stdout)["figures"], "frames of both sets are found again"


def test_artifacts_are_measured_on_each_sets_own_part(joined: Path, tmp_path: Path) -> None:
    """With several sets, the frames are the part test of one set and everything of another."""
    weld_train("run", joined / "tiny.yaml", "--data", joined / "old", "--out", tmp_path / "out")
    artifact = tmp_path / "out" / "weldnet.pt"
    for part in ("train", "test"):
        class_folders(tmp_path / "parts" / part, runs=1, frames=1, seed=40 + len(part))
    sets = ["--data", tmp_path / "parts", "--data", joined / "new", "--on-conflict", "later", "--json"]
    status, stdout, stderr = weld_train("evaluate", artifact, *sets)
    assert status == 0, stderr
    result = only_json(stdout)
    assert (result["part"], result["n"] + result["learnt_from"]) == ("test and all", 2 + 7)
    compared = only_json(weld_train("compare", artifact, artifact, *sets)[1])
    assert (compared["n"], compared["learnt_from"]) == (result["n"], result["learnt_from"])
    status, stdout, stderr = weld_train("evaluate", artifact, *sets, "--split", "valid")
    assert (status, stderr.splitlines()[-1].endswith("1 × no such part: 'valid'")) == (2, True)


def test_an_export_alone_says_what_is_missing(joined: Path, tmp_path: Path) -> None:
    """If reviewed images lack a class of the recipe, one line says to add the old data."""
    classes = [
        {"name": name, "role": "accept" if name == "good" else "defect"} for name in (*CLASSES, "crack")
    ]
    write_recipe(tmp_path / "three.yaml", accept=[], classes=classes)
    status, _, stderr = weld_train(
        "run", tmp_path / "three.yaml", "--data", joined / "new", "--out", tmp_path / "out"
    )
    assert status == 2
    assert stderr.splitlines()[-1].endswith(
        "1 × empty class: crack; add the data that has it: --data OLD --data NEW"
    )
    status, _, stderr = weld_train(
        "run", joined / "tiny.yaml", "--data", tmp_path / "none", "--data", joined / "new", "--out", tmp_path
    )
    assert (status, stderr.splitlines()[-1].startswith(f"weld-train: {tmp_path / 'none'}: ")) == (2, True)


def test_a_time_that_is_none_is_refused_by_name(tmp_path: Path) -> None:
    """The column 'decided' holds ISO times or nothing."""
    new = reviewed(tmp_path / "new", ("a.png", 0, 0, "good", "r1", "yesterday"))
    with pytest.raises(DataError, match=r"1 × not a time: 'yesterday' of a\.png; write 2026-11-29T08:30:00Z"):
        read(new, new)


def test_names_of_sets_differ_and_lead_back_to_the_files(tmp_path: Path) -> None:
    """Sets with one folder name get different names, and a frame's name leads back to its file."""
    paths = [tmp_path / "a" / "frames", tmp_path / "b" / "frames", tmp_path / "c" / "frames-2"]
    for number, path in enumerate(paths):
        write_picture(path / "bad" / "x.png", 0, number)
    listing = read(*paths)
    assert [frame.name for frame in listing.frames] == [
        "frames-2-2/bad/x.png",
        "frames-2/bad/x.png",
        "frames/bad/x.png",
    ]
    data = json.loads(json.dumps(DataSets(tuple(paths)).resolved()))
    assert [joining.file_of(frame.name, data) for frame in listing.frames] == [f.path for f in listing.frames]
