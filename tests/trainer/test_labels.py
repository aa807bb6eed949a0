"""The commands suspects and learning-curve on real pictures, with the pretrained network."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path

import pytest
import torch
from html5lib import HTMLParser
from PIL import Image
from rich.console import Console
from tiny_runs import epochs, only_json, weld_train, write_recipe
from trainer_samples import class_folders, write_picture

from trainer.data import datasets
from trainer.data.datasets import Frame
from trainer.data.frames import FrameSet
from trainer.labels.features import Sample
from trainer.labels.probe_curve import of_sample
from trainer.labels.suspects import COLUMNS
from trainer.run.progress import Progress


def rows_of(table: Path) -> list[dict[str, str]]:
    """Read the table as a spreadsheet does."""
    with table.open(encoding="utf-8-sig", newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture(scope="module")
def mislabelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four runs of three frames per class, and one frame of each class in the folder of the other."""
    root = class_folders(
        tmp_path_factory.mktemp("labels") / "frames", runs=4, frames=3, classes=("=bad", "gut ö")
    )
    write_picture(root / "=bad" / "=bad-run1" / "wrong.png", 1, 900)
    write_picture(root / "gut ö" / "gut ö-run2" / "wrong.png", 0, 901)
    return root


@pytest.fixture(scope="module")
def found(mislabelled: Path) -> Path:
    """The folder that the command suspects has written."""
    out = mislabelled.parent / "out"
    status, stdout, stderr = weld_train("suspects", "--data", mislabelled, "--out", out, "--json")
    assert status == 0, stderr
    result = only_json(stdout)
    assert (result["n"], result["not_judged"]) == (26, 0)
    assert result["suspect"] >= 2
    return out


def test_wrong_labels_are_first_in_table_and_page(mislabelled: Path, found: Path) -> None:
    """Both wrong labels are the first suspects, with the right class proposed, and pictures are shown."""
    rows = rows_of(found / "suspect_labels.csv")
    assert tuple(rows[0]) == COLUMNS
    assert [row["rank"] for row in rows] == [str(rank) for rank in range(1, 27)]
    assert {Path(row["path"]).name for row in rows[:2]} == {"wrong.png"}
    first = {(row["label"], row["proposed_label"], row["suspect"]) for row in rows[:2]}
    assert first == {("'=bad", "gut ö", "yes"), ("gut ö", "'=bad", "yes")}, "no class name is a formula"
    page = (found / "suspect_labels.html").read_text()
    HTMLParser(strict=True).parse(page)
    assert page.count("wrong.png") == 4, "the text and the picture's description of both"
    assert page.count("data:image/jpeg;base64,") == 3 + 8, "a tenth of all, and four typical ones per class"
    assert sum(1 for _ in mislabelled.rglob("*.png")) == 26, "nothing is moved"


def test_a_corrected_table_is_read_back(mislabelled: Path, found: Path) -> None:
    """Corrected labels win over those of the folders, also after a spreadsheet has saved the table."""
    out = mislabelled.parent / "corrected"  # as far from the frames as the first folder: paths are relative
    shutil.copytree(found, out)
    table = out / "suspect_labels.csv"
    rows = rows_of(table)
    for row in rows[:2]:
        row["label"] = row["proposed_label"]
    with table.open("w", encoding="utf-16", newline="") as stream:  # as Excel's 'Unicode Text'
        writer = csv.DictWriter(stream, COLUMNS, delimiter="\t")
        writer.writeheader()
        writer.writerows(rows)
    alone = datasets.read(table)
    assert sorted(alone.classes) == ["=bad", "gut ö"]
    assert len(alone.frames) == 26
    command = ("suspects", "--data", mislabelled, "--data", table, "--on-conflict", "later", "--out", out)
    status, stdout, stderr = weld_train(*command)
    assert status == 0, stderr
    assert "0 of 26 labels are suspect" in stdout
    assert "2 images have two labels, and the later one is kept" in stderr
    assert len(rows_of(table)) == 26


def test_bad_input_is_one_line(tmp_path: Path) -> None:
    """One class, an unreadable picture and an --out below a file end with one line and nothing else."""
    one = tmp_path / "one"
    write_picture(one / "good" / "a.png")
    broken = class_folders(tmp_path / "broken", runs=1, frames=1)
    (broken / "bad" / "bad-run0" / "0.png").write_bytes(b"no image")
    (tmp_path / "file").touch()
    for data, out, words in [
        (one, tmp_path / "out", "one class only"),
        (broken, tmp_path / "out", "unreadable image"),
        (broken, tmp_path / "file" / "out", "give another --out"),
        (tmp_path / "gone", tmp_path / "out", "there is no such file or folder"),
    ]:
        for command in ("suspects", "learning-curve"):
            status, stdout, stderr = weld_train(command, "--data", data, "--out", out)
            assert (status > 0, stdout) == (True, "")
            assert words in stderr
            assert "Traceback" not in stderr
    few = class_folders(tmp_path / "few", runs=4, frames=3)
    status, _, stderr = weld_train("learning-curve", "--data", few, "--out", tmp_path / "out")
    assert (status, stderr.splitlines()[-1].count("too few for a learning curve")) == (2, 1)
    status, _, stderr = weld_train(
        "learning-curve", "--data", few, "--out", tmp_path / "out", "--seeds", "0,a"
    )
    assert (status, "give whole numbers" in stderr) == (2, True)


def test_a_curve_of_probes_is_cross_validated_over_runs() -> None:
    """Probes learn from shares of the frames of other runs, and every frame is judged at each size."""
    labels = torch.arange(80) % 2
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(80, 5, generator=generator) + 0.8 * labels[:, None]
    frames = [Frame(Path(f"{i}"), f"{i}", int(label), run=f"run {i // 4}") for i, label in enumerate(labels)]
    images = torch.zeros(80, 1, 1, 1, dtype=torch.uint8)
    sample = Sample("data", ["bad", "good"], FrameSet(images, labels, frames), features, list(range(80)))
    curve = of_sample(sample, [0, 1], Progress(Console(file=io.StringIO())))
    assert [round(point.n_train) for point in curve.points] == [16, 32, 64]
    assert curve.measured.errors.shape == (3, 2, 20), "sizes, seeds, runs"
    assert curve.n_held_out == 80
    first, *_, last = curve.points
    assert 0.6 < first.accuracy <= last.accuracy < 1
    assert last.accuracy == pytest.approx(last.balanced_accuracy)


def test_a_curve_of_a_recipe_trains_each_size_and_resumes(tmp_path: Path) -> None:
    """Every size is a run of its own on the same held-out frames, and the same command trains none again."""
    data, out = class_folders(tmp_path / "data", runs=16, frames=3), tmp_path / "out"
    recipe = write_recipe(tmp_path / "tiny.yaml", **epochs(1), ensemble={"teachers": 1})
    command = ("learning-curve", "--data", data, "--out", out, "--recipe", recipe, "--seeds", "0")
    status, stdout, stderr = weld_train(*command, "--json")
    assert status == 0, stderr
    assert "epoch 1/1" in stderr
    result = only_json(stdout)
    assert json.loads((out / "learning_curve.json").read_text()) == result
    quarter, half, whole = (point["n_train"] for point in result["points"])
    assert quarter < half < whole == 66
    assert result["n_held_out"] == 30
    assert result["outlook"]["sentence"].startswith("the artifact of recipe tiny: ")
    assert len({table.read_text() for table in (out / "sets").glob("*/valid/labels.csv")}) == 1
    with Image.open(out / "learning_curve.png") as image:
        assert image.size == (840, 540)
    status, stdout, stderr = weld_train(*command)
    assert status == 0
    assert "balanced accuracy" in " ".join(stdout.split())
    assert "epoch" not in stderr
