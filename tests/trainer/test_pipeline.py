"""A whole run of a tiny network: its files, its report, and how it resumes.

One file of more than 350 lines: most of these tests share one finished run, which takes time to train.
"""

from __future__ import annotations

import io
import json
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from PIL import Image
from rich.console import Console
from tiny_runs import RECIPE, epochs, read_csv, run, write_recipe
from trainer_samples import CLASSES, class_folders, write_picture

from inspector.network import metadata
from inspector.network.metadata import ArtifactError
from trainer import pipeline
from trainer.artifact.student import Student
from trainer.data.datasets import Frame
from trainer.data.frames import FrameSet
from trainer.errors import DataError, RecipeError, RunError, TrainerError, TrainingError, UsageError
from trainer.evaluation import report
from trainer.evaluation.judging import open_network
from trainer.learning.networks import refuse_too_many_processes
from trainer.pipeline import Stage
from trainer.recipe import Recipe
from trainer.recipe_file import load
from trainer.run.folder import RunFolder
from trainer.run.progress import Progress


@dataclass
class Finished:
    """A run that several tests share."""

    data: Path
    out: Path
    results: dict[str, Any]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """Make one whole run on class folders with three welding runs per class."""
    folder = tmp_path_factory.mktemp("run")
    data = class_folders(folder / "data", frames=4)
    return Finished(data, folder / "out", run(data, folder / "out"))


def test_results_cover_every_network_with_n_and_interval(finished: Finished) -> None:
    """Teachers, ensembles, student and artifact are evaluated on the same held-out runs, with intervals."""
    results = finished.results
    assert list(results["models"]) == [
        "teacher-1",
        "teacher-2",
        "mean",
        "focal",
        "ridge",
        "probe",
        "student",
        "artifact",
    ]
    assert (results["n_train"], results["n"], results["part"]) == (16, 8, "valid")
    for model in results["models"].values():
        assert model["n"] == 8
        assert model["accuracy_interval"] is None, "frames of a run are alike"
        low, high = model["accuracy_interval_runs"]
        assert low <= model["accuracy"] <= high
        assert 0 <= model["cross_entropy"] <= 0.7, "that of two equally likely classes is 0.69"
        assert sum(entry["n"] for entry in model["by_run"].values()) == 8
        assert len(model["by_run"]) == 2
    assert results["models"]["student"]["accuracy"] >= 0.75
    assert results["artifact"]["agreement_with_student"] == 1.0
    assert json.loads((finished.out / "results.json").read_text()) == results


def test_the_folder_describes_how_the_result_was_made(finished: Finished) -> None:
    """Recipe, seeds, environment, split and one log line per epoch are beside the results."""
    out = finished.out
    assert Recipe(**yaml.safe_load((out / "recipe.yaml").read_text())) == Recipe(**RECIPE)
    about = json.loads((out / "run.json").read_text())
    assert about["seeds"] == {"recipe": 0, "student": 0, "teacher-1": 1, "teacher-2": 2}
    assert about["git_commit"] is None or re.fullmatch("[0-9a-f]{40}(-dirty)?", about["git_commit"])
    assert {"python", "torch", "torchvision", "processor", "threads"} <= about["environment"].keys()
    split = read_csv(out / "split.csv")
    assert len(split) == 24
    assert len({row["run"] for row in split if row["part"] == "valid"}) == 2
    for network in ("teacher-1", "teacher-2", "student"):
        rows = read_csv(out / "logs" / f"{network}.csv")
        assert [int(row["epoch"]) for row in rows] == list(range(1, 15))
        assert all(float(row["seconds"]) > 0 for row in rows)


def test_curves_are_drawn(finished: Finished) -> None:
    """The folder has a picture of the loss and accuracy of all networks."""
    from PIL import Image

    with Image.open(finished.out / "curves.png") as picture:
        assert picture.size == (1320, 540)
        low, high = picture.convert("L").getextrema()
    assert low < high


def test_another_environment_is_a_warning(finished: Finished, caplog: pytest.LogCaptureFixture) -> None:
    """A run may resume with other versions or threads than it began with, with a warning."""
    mark = finished.out / "run.json"
    before = mark.read_text()
    about = json.loads(before)
    about["environment"]["threads"] = 99
    mark.write_text(json.dumps(about))
    with caplog.at_level(logging.WARNING):
        run(finished.data, finished.out)
    mark.write_text(before)
    assert "threads is 99 there, 1 here" in caplog.text


def test_teachers_differ(finished: Finished) -> None:
    """Teachers have different seeds, so their weights and their losses differ."""
    first, second = (
        torch.load(finished.out / "checkpoints" / f"teacher-{i}.pt", weights_only=True) for i in (1, 2)
    )
    assert first["history"][0]["train_loss"] != second["history"][0]["train_loss"]
    assert not torch.equal(first["network"]["head.weight"], second["network"]["head.weight"])


def test_the_artifact_carries_roles_recipe_and_metrics(finished: Finished) -> None:
    """The artifact's metadata contain the roles, the recipe and the student's metrics."""
    written = metadata.read(finished.out / pipeline.ARTIFACT_FILE)
    assert [(c.name, c.role) for c in written.classes] == [("bad", "defect"), ("good", "accept")]
    assert written.quantization == "dynamic"
    assert (written.height, written.width) == (80, 80)
    assert written.recipe == json.loads(json.dumps(Recipe(**RECIPE).resolved()))
    assert written.metrics["n"] == 8
    assert written.metrics["accuracy"] == finished.results["models"]["artifact"]["accuracy"]
    by_runs = finished.results["models"]["artifact"]["accuracy_interval_runs"]
    assert written.metrics["accuracy_interval_runs"] == by_runs
    assert by_runs[1] - by_runs[0] > 0.5, "the held-out frames are of two runs"
    assert written.metrics["split_fingerprint"] == finished.results["split_fingerprint"]


def test_killed_again_and_again_it_ends_with_the_same_result(finished: Finished, tmp_path: Path) -> None:
    """A kill in the student's training and one after it change no bit of the result."""
    recipe, out = write_recipe(tmp_path / "tiny.yaml"), tmp_path / "out"
    command = [
        sys.executable,
        "-m",
        "trainer.commands.cli",
        "run",
        recipe,
        "--data",
        finished.data,
        "--out",
        out,
    ]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    for mark in ("student epoch 5/", "thresholds default"):
        with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
            assert process.stderr is not None
            assert any(mark in line for line in process.stderr)
            process.send_signal(signal.SIGKILL)
        assert process.returncode == -signal.SIGKILL
    again = run(finished.data, out)
    assert again["models"] == finished.results["models"]
    one, other = (
        torch.load(each / "student.pt", weights_only=True)["weights"] for each in (out, finished.out)
    )
    assert all(torch.equal(value, other[name]) for name, value in one.items())


def test_best_takes_data_of_any_size_and_class_count(tmp_path: Path) -> None:
    """The recipe 'best', shortened, runs on small frames of three unknown classes."""
    data = class_folders(tmp_path / "data", runs=2, frames=4, classes=("bad", "good", "odd"))
    short = ["training.epochs=1", "training.min_steps=4", "distillation.epochs=1", "ensemble.teachers=1"]
    short.append("network.pixels_a_frame=600")  # 12 frames to train on
    recipe = load("best", [*short, "accept=[good]"])
    results = pipeline.run(recipe, data, tmp_path / "out", Progress(Console(file=io.StringIO())))
    assert len(results.models["artifact"]["per_class"]) == 3
    written = metadata.read(tmp_path / "out" / pipeline.ARTIFACT_FILE)
    assert (written.height, written.width) == (84, 84), "enlarged from 80, as far as 7,200 pixels allow"
    few = load("best", [*short, "accept=[good]", "network.pixels_a_frame=400"])
    pipeline.run(few, data, tmp_path / "few", Progress(Console(file=io.StringIO())), Stage.TEACHERS)
    kept = yaml.safe_load((tmp_path / "few" / "recipe.yaml").read_text())["network"]
    assert (kept["height"], kept["width"]) == (70, 70), "few frames, small ones"
    assert run(
        data,
        tmp_path / "large",
        Stage.TEACHERS,
        network={"height": None, "width": None, "pixels": 4500, "stem": 4},
    )
    kept = yaml.safe_load((tmp_path / "large" / "recipe.yaml").read_text())["network"]
    assert (kept["height"], kept["width"]) == (66, 66), "no more than 4,500 pixels"


def test_a_finished_run_trains_nothing_again(finished: Finished, caplog: pytest.LogCaptureFixture) -> None:
    """The same command on a finished folder gives the same metrics from the same artifact."""
    before = (finished.out / pipeline.ARTIFACT_FILE).read_bytes()
    with caplog.at_level(logging.INFO):
        again = run(finished.data, finished.out)
    assert again["models"] == finished.results["models"]
    assert (finished.out / pipeline.ARTIFACT_FILE).read_bytes() == before
    assert "epoch" not in caplog.text


def test_stages_one_by_one_end_like_the_whole(finished: Finished, tmp_path: Path) -> None:
    """The commands teachers, distil and run, one after another, give the results of one whole run."""
    assert run(finished.data, tmp_path / "out", Stage.TEACHERS)["teachers"] == 2
    assert not (tmp_path / "out" / "checkpoints" / "student.pt").exists()
    run(finished.data, tmp_path / "out", Stage.STUDENT)
    assert not (tmp_path / "out" / pipeline.ARTIFACT_FILE).exists()
    assert run(finished.data, tmp_path / "out")["models"] == finished.results["models"]


def test_evaluate_repeats_the_metrics_of_the_run(finished: Finished, tmp_path: Path) -> None:
    """The command evaluate, on the held-out files, repeats the metrics that the run reported."""
    table = tmp_path / "valid.csv"
    held = [row for row in read_csv(finished.out / "split.csv") if row["part"] == "valid"]
    table.write_text(
        "path,label,run\n"
        + "".join(f"{finished.data / row['path']},{row['label']},{row['run']}\n" for row in held)
    )
    progress = Progress(Console(file=io.StringIO()))
    result = report.evaluate_artifact(finished.out / pipeline.ARTIFACT_FILE, table, None, progress)
    reported = finished.results["models"]["artifact"]
    assert {name: result[name] for name in reported} == reported
    assert result["part"] == "all"


def test_the_part_test_is_measured_by_the_run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Verdicts on test are in the results, without a copy of a training frame and a file that is no image."""
    data = tmp_path / "data"
    for part, seed in (("train", 0), ("valid", 1000), ("test", 2000)):
        class_folders(data / part, runs=2, frames=3, seed=seed)
        for label in CLASSES:
            for run_folder in sorted((data / part / label).iterdir()):
                run_folder.rename(run_folder.with_name(f"{part}-{run_folder.name}"))
    copied = next((data / "train" / "good").rglob("*.png"))
    (data / "test" / "good" / "copy.png").write_bytes(copied.read_bytes())
    (data / "test" / "good" / "broken.png").write_bytes(b"no image")
    with caplog.at_level(logging.WARNING):
        results = run(data, tmp_path / "out", **epochs(2), ensemble={"teachers": 1})
    assert (results["n_train"], results["n"]) == (12, 12)
    test = results["test"]
    assert (test["part"], test["n"], test["learnt_from"]) == ("test", 12, 1)
    assert sum(test[verdict]["count"] for verdict in ("passed", "failed", "review")) == 12
    assert (test["escapes"]["n"], test["overkill"]["n"]) == (6, 6)
    assert test["escapes"]["interval"][1] - test["escapes"]["interval"][0] > 0.5, "two runs show little"
    assert "copy.png" in caplog.text
    assert "broken.png" in caplog.text
    written = metadata.read(tmp_path / "out" / pipeline.ARTIFACT_FILE)
    assert len(written.metrics["training_frames"]) == 12


def test_another_recipe_or_data_is_refused_by_name(finished: Finished, tmp_path: Path) -> None:
    """A folder with another run is refused and not changed; the message names each key that differs."""
    changes = {"seed": 3, "training": RECIPE["training"] | {"epochs": 9}}
    with pytest.raises(RunError, match=r"seed is 0 there, 3 here; training\.epochs is 14 there, 9 here"):
        run(finished.data, finished.out, **changes)
    other = class_folders(tmp_path / "other", frames=3)
    with pytest.raises(RunError, match=r"the data's split is [0-9a-f]{12} there"):
        run(other, finished.out)


def test_one_process_at_a_time(finished: Finished) -> None:
    """A folder that another process uses is refused."""
    with RunFolder(finished.out), pytest.raises(RunError, match="another weld-train uses it"):
        run(finished.data, finished.out)


def test_a_full_disk_is_one_line_and_the_run_resumes(finished: Finished, tmp_path: Path) -> None:
    """A full disk is one line that names the file; older files stay, and the run resumes later."""
    quick = epochs(1)
    run(finished.data, tmp_path / "out", Stage.TEACHERS, **quick)
    (tmp_path / "out" / ".results.json.tmp").symlink_to("/dev/full")
    with pytest.raises(TrainerError, match=r"results\.json: cannot be written \(No space left on device\)"):
        run(finished.data, tmp_path / "out", **quick)
    assert run(finished.data, tmp_path / "out", **quick)["n"] == 8


def test_a_folder_that_cannot_be_made_is_refused(finished: Finished, tmp_path: Path) -> None:
    """An --out below a file is one clear error."""
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="give another --out"):
        run(finished.data, tmp_path / "file" / "out")


def damage_images(root: Path) -> None:
    """Damage one image, and cut another one short."""
    (root / "good" / "good-run0" / "0.png").write_bytes(b"no image")
    cut = root / "bad" / "bad-run1" / "1.png"
    cut.write_bytes(cut.read_bytes()[:100])


def remove_a_class(root: Path) -> None:
    """Remove every file of a class."""
    for path in (root / "good").rglob("*.png"):
        path.unlink()


@pytest.mark.parametrize(
    ("harm", "kinds"),
    [(damage_images, ["unreadable image"] * 2), (remove_a_class, ["empty class"])],
    ids=["spoilt", "empty"],
)
def test_bad_data_is_named_before_training_and_marks_nothing(
    tmp_path: Path, harm: Callable[[Path], None], kinds: list[str]
) -> None:
    """All problems of the data are named before training, and the fixed data may use the same folder."""
    data = class_folders(tmp_path / "data")
    harm(data)
    with pytest.raises(DataError) as caught:
        run(data, tmp_path / "out")
    assert [problem.kind for problem in caught.value.problems] == kinds
    assert not list(tmp_path.glob("out/checkpoints/*"))
    class_folders(tmp_path / "data", frames=3)
    assert run(data, tmp_path / "out", Stage.TEACHERS)["teachers"] == 2


def test_one_run_a_class_leaves_nothing_to_hold_out(tmp_path: Path) -> None:
    """With one welding run per class no honest split is possible, and the message says so."""
    with pytest.raises(DataError, match=r"every class has one run.*; give a part 'valid'"):
        run(class_folders(tmp_path / "data", runs=1), tmp_path / "out")


def test_roles_must_fit_the_data(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The key accept must name a class of the data; without it, a warning says that nothing passes."""
    data = class_folders(tmp_path / "data")
    with pytest.raises(RecipeError, match=r"accept also names \['fine'\]"):
        run(data, tmp_path / "out", accept=["fine"])
    with pytest.raises(RecipeError, match="only the class 'good', and a network needs two to tell apart"):
        pipeline.weld_classes(Recipe(**RECIPE), ["good"])
    with caplog.at_level(logging.WARNING):
        roles = pipeline.weld_classes(Recipe(**RECIPE | {"accept": []}), CLASSES)
    assert {c.role for c in roles} == {"defect"}
    assert "no frame will ever be a PASS" in caplog.text


def test_a_run_that_diverges_names_the_batch(tmp_path: Path) -> None:
    """A learning rate that is far too high ends with an error that names the batch."""
    data = class_folders(tmp_path / "data")
    wild = RECIPE["training"] | {"learning_rate": 1e30}
    with pytest.raises(TrainingError, match=r"in epoch \d+, batch \d+ of \d+ \(.*\.png"):
        run(data, tmp_path / "out", training=wild)


def test_frames_of_all_sizes_train_together(tmp_path: Path) -> None:
    """Small and large frames of one data set are kept at one size."""
    data = class_folders(tmp_path / "data")
    from PIL import Image

    with Image.open(data / "good" / "good-run0" / "0.png") as image:
        image.resize((333, 60)).save(data / "good" / "good-run0" / "wide.jpg")
    write_picture(data / "bad" / "bad-run0" / "more.png", 0, 99)
    assert run(data, tmp_path / "out", Stage.TEACHERS)["teachers"] == 2


def test_a_recipe_that_accepts_every_class_is_refused(tmp_path: Path) -> None:
    """If accept names every class, nothing could FAIL, and the run says so before it trains."""
    data = class_folders(tmp_path / "data")
    with pytest.raises(RecipeError, match="accept names every class"):
        run(data, tmp_path / "out", accept=["good", "bad"])
    assert not (tmp_path / "out").exists()


def test_a_last_batch_of_one_frame_is_none(tmp_path: Path) -> None:
    """Three frames in batches of two are one batch: batch norm cannot learn from one frame at 64×64."""
    data = class_folders(tmp_path / "data", runs=2, frames=1)
    write_picture(data / "good" / "third" / "0.png", 1, 7)
    training = RECIPE["training"] | {"epochs": 1, "batch_size": 2}
    network = {"height": 64, "width": 64, "stem": 4, "plan": [(1, 1), (1, 2), (1, 2), (2, 2), (1, 2)]}
    done = run(
        data, tmp_path / "out", Stage.TEACHERS, network=network, training=training, ensemble={"teachers": 1}
    )
    assert done["teachers"] == 1


def test_more_processes_than_a_batch_can_feed_are_refused_with_the_number() -> None:
    """Each process needs two frames of the smallest batch; the message has the largest number."""

    @dataclass
    class Many:
        """Hardware of so many processes."""

        processes: int

    recipe = Recipe(**RECIPE)  # batches of four
    for frames, processes, most in ((12, 2, None), (12, 3, 2), (9, 2, 1), (40, 1, None), (3, 1, None)):
        if most is None:
            refuse_too_many_processes(recipe, frames, Many(processes))
            continue
        with pytest.raises(UsageError, match=f"use at most {most}, or a larger training.batch_size"):
            refuse_too_many_processes(recipe, frames, Many(processes))


@pytest.mark.parametrize("content", [b"", b"{", b"\0" * 64, b"[]"])
@pytest.mark.parametrize("name", ["run.json", "recipe.yaml", "checkpoints/teacher-1.pt"])
def test_a_file_that_a_power_cut_damaged_is_named(
    finished: Finished, tmp_path: Path, name: str, content: bytes
) -> None:
    """An empty or torn file of a run is one line with its name and a way out, and no traceback."""
    out = tmp_path / "out"
    shutil.copytree(finished.out, out)
    (out / name).write_bytes(content)
    with pytest.raises(RunError, match="damaged, as after a power cut") as caught:
        run(finished.data, out)
    assert str(out / name) in str(caught.value)
    assert "\n" not in str(caught.value)


def changed_in_the_middle(path: Path) -> None:
    """Change 64 bytes in the middle of a file, as a bad disk does."""
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 64] = bytes(byte ^ 0xFF for byte in content[middle : middle + 64])
    path.write_bytes(content)


def test_changed_bytes_are_never_taken_for_weights(finished: Finished, tmp_path: Path) -> None:
    """A checkpoint, a student and an artifact with changed bytes are named; an artifact is compiled again."""
    out = tmp_path / "out"
    shutil.copytree(finished.out, out)
    names = ("checkpoints/teacher-1.pt", "student.pt", "weldnet.pt")
    for name in names:
        changed_in_the_middle(out / name)
    artifact = metadata.ArtifactFile.read(out / "weldnet.pt", others_may_write=True)
    with pytest.raises(UsageError, match="is not a student"):
        Student.load(out / "student.pt")
    with pytest.raises(ArtifactError, match="a checksum inside it is wrong"):
        open_network(artifact)
    with pytest.raises(RunError, match=r"teacher-1\.pt: is damaged"):
        run(finished.data, out)
    shutil.copyfile(finished.out / names[0], out / names[0])
    assert run(finished.data, out)["models"] == finished.results["models"]
    open_network(metadata.ArtifactFile.read(out / "weldnet.pt", others_may_write=True))


@pytest.mark.parametrize("content", [b"", b"\0" * 64, None])  # None: the first half of the file
@pytest.mark.parametrize(
    "names",
    [("logs/teacher-1.csv", "student.pt"), ("weldnet.pt", "split.csv", "results.json")],
    ids=["of the training", "made from it"],
)
def test_other_files_of_a_run_may_be_torn(
    finished: Finished, tmp_path: Path, names: tuple[str, ...], content: bytes | None
) -> None:
    """The run writes such files again, or names one after the other, and goes on as soon as it is removed."""
    out = tmp_path / "out"
    shutil.copytree(finished.out, out)
    for name in names:
        half = (out / name).read_bytes()[: (out / name).stat().st_size // 2]
        (out / name).write_bytes(half if content is None else content)
    left = set(names)
    while True:
        try:
            results = run(finished.data, out)
            break
        except UsageError as error:
            assert "remove it" in str(error)
            [named] = [name for name in left if f"{out / name}: " in str(error)]
            left.remove(named)
            (out / named).unlink()
    assert results["models"] == finished.results["models"]


def test_golden_frames_are_few_small_and_of_classes_from_first_to_last(tmp_path: Path) -> None:
    """A student keeps three frames of at most 512 pixels a side, also of the last class."""
    frames = []
    for label in range(6):
        path = tmp_path / f"{label}.png"
        Image.new("L", (900, 700), 10 * label).save(path)
        frames.append(Frame(path, path.name, label))
    train = FrameSet(torch.zeros(6, 1, 64, 64, dtype=torch.uint8), torch.arange(6), frames)
    golden = pipeline.golden_frames(Recipe(**RECIPE), train)
    assert [tuple(frame.shape) for frame in golden] == [(512, 512)] * 3
    assert [int(frame[0, 0]) for frame in golden][::2] == [0, 50]


def test_a_run_that_another_version_resumes_names_both(finished: Finished, tmp_path: Path) -> None:
    """Results of a run that another commit began have both commits."""
    out = tmp_path / "out"
    shutil.copytree(finished.out, out)
    mark = json.loads((out / "run.json").read_text())
    (out / "run.json").write_text(json.dumps(mark | {"git_commit": "0ld"}))
    assert run(finished.data, out)["git_commit"] == f"0ld, resumed by {mark['git_commit']}"
