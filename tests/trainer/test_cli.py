"""The commands as a user types them: output, exit status, one clear line for each mistake."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import html5lib
import matplotlib as mpl
import pytest
from PIL import Image
from tiny_runs import epochs, only_json, weld_train, write_recipe
from trainer_samples import class_folders

from inspector.network.metadata import TrainingVerdict
from inspector.reports.page.plot_style import COLOURS, DARK_COLOURS
from trainer.evaluation import pictures as draw
from trainer.evaluation import wording
from trainer.run.folder import read_results

COMMAND = [sys.executable, "-m", "trainer.commands.cli"]
ENVIRONMENT = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}


@pytest.fixture(scope="module")
def first_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, tuple[int, str, str]]:
    """Make a folder with data, a recipe file and a finished run; return it and what the command said."""
    folder = tmp_path_factory.mktemp("cli")
    class_folders(folder / "data", frames=3)
    write_recipe(folder / "tiny.yaml", **epochs(2))
    return folder, weld_train(*run_arguments(folder), "--json")


@pytest.fixture(scope="module")
def folder(first_run: tuple[Path, tuple[int, str, str]]) -> Path:
    """Return the folder with the finished run."""
    folder, (status, _, stderr) = first_run
    assert status == 0, stderr
    return folder


def run_arguments(folder: Path) -> list[object]:
    """Return the arguments of the fixture's run."""
    return ["run", folder / "tiny.yaml", "--data", folder / "data", "--out", folder / "out"]


def test_run_prints_one_object_and_logs_to_stderr(first_run: tuple[Path, tuple[int, str, str]]) -> None:
    """With --json, results go to stdout; epochs and warnings go to stderr, with a time estimate."""
    _, (status, stdout, stderr) = first_run
    assert status == 0
    assert only_json(stdout)["n"] == 6
    assert "teacher-1 epoch 1/2" in stderr
    assert " left" in stderr


def test_run_prints_tables_for_people(folder: Path) -> None:
    """Without --json, networks, intervals and welding runs are printed as tables, with names in words."""
    status, stdout, _ = weld_train(*run_arguments(folder))
    assert status == 0
    for word in ("teacher 1", "focal", "linear", "student", "95% interval", "good-run", "agrees with"):
        assert word in stdout
    assert "ridge" not in stdout


def test_a_run_ends_with_its_files_its_verdict_and_the_next_command(folder: Path) -> None:
    """The last lines name each file, say the verdict in words, and give the command that follows from it."""
    _, stdout, _ = weld_train(*run_arguments(folder))
    results = read_results(folder / "out")
    rest = stdout[stdout.index("files in ") :]
    named = {line.split()[0] for line in rest[: rest.index("verdict:")].splitlines()[1:] if line.strip()}
    assert named == {path.name for path in (folder / "out").iterdir() if path.is_file()}
    verdict, following = rest[rest.index("verdict:") :].split("next:")
    level = wording.level_of(results)
    assert level is not None
    assert verdict.splitlines()[0] == f"verdict: {results['training_verdict']}"
    assert wording.MEANING[level] in verdict
    commands = wording.next_commands(results, folder / "out")
    assert commands
    assert all(command in following for command in commands)


@pytest.mark.parametrize("level", TrainingVerdict)
def test_the_next_command_follows_from_the_verdict(level: TrainingVerdict, tmp_path: Path) -> None:
    """A network that must not be deployed leads to its labels, another one to a station; paths are quoted."""
    results = {"training_verdict": f"{level}: why", "artifact": {"file": "weldnet.pt"}, "data": ["my frames"]}
    commands = " ".join(wording.next_commands(results, tmp_path))
    refused = level is TrainingVerdict.DO_NOT_DEPLOY
    assert ("weld-train suspects --data 'my frames'" in commands) == refused
    assert ("install-artifact" in commands) != refused


def test_the_page_of_a_run_can_be_sent(folder: Path) -> None:
    """The run's page is one strict HTML file with all figures and pictures, and refers to no other file."""
    page = (folder / "out" / "report.html").read_text(encoding="utf-8")
    html = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False).parse(page)
    assert all(image.get("src", "").startswith("data:image/png") for image in html.iter("img"))
    pictures = list((folder / "out").glob("*.png"))
    assert len(list(html.iter("img"))) == len(pictures) >= 4
    assert not [element for element in html.iter() if element.get("href")]
    text = " ".join(" ".join(html.itertext()).split())
    results = read_results(folder / "out")
    for reason in results["training_verdict_reasons"]:
        assert reason["text"] in text
    for key, model in results["models"].items():
        assert f"{wording.network_name(key)} {model['accuracy']:.1%}" in text
    assert results["thresholds"]["promise"]["words"][1:] in text
    assert "bad 6 3 good 6 3" in text, "frames to learn from and held out, by class"
    assert results["split_fingerprint"] in text
    assert "milestones" in text, "the recipe"
    assert results["environment"]["torch"] in text


def test_the_page_of_a_run_looks_like_the_quality_report(folder: Path) -> None:
    """It has the report's colours, on light and on dark screens."""
    page = (folder / "out" / "report.html").read_text(encoding="utf-8")
    light, dark = page.split("prefers-color-scheme: dark", 1)
    for colours, style in ((COLOURS, light), (DARK_COLOURS, dark)):
        used = [name for name in colours if f"--{name}:" in style]
        assert {"ink", "paper", "accent", "alarm"} <= set(used)
        assert all(f"--{name}: {colours[name]};" in style for name in used)


def test_curves_count_whole_epochs_and_confusion_has_shares(folder: Path, tmp_path: Path) -> None:
    """The axis of a short run names no half epoch; each cell of the confusion has frames and their share."""
    with mpl.rc_context({"svg.fonttype": "none"}):  # letters stay letters
        draw.curves([folder / "out" / "logs" / "teacher-1.csv"], tmp_path / "curves.svg")
        metrics = read_results(folder / "out")["models"]["artifact"] | {"confusion": [[2, 1], [0, 3]]}
        draw.confusion(metrics, tmp_path / "confusion.svg")
    texts = {
        path.stem: re.findall("<text[^>]*>([^<]+)</text>", path.read_text()) for path in tmp_path.iterdir()
    }
    assert texts["curves"][: texts["curves"].index("epoch")] == ["1", "2"]
    cells = [text for text in texts["confusion"] if text and text[0].isdigit()][:6]
    assert cells == ["2", "67%", "1", "33%", "3", "100%"]


def test_stage_commands_share_the_run_folder(folder: Path, tmp_path: Path) -> None:
    """The commands teachers and distil take the arguments of run and print what they made."""
    arguments = [folder / "tiny.yaml", "--data", folder / "data", "--out", tmp_path / "out", "--json"]
    assert only_json(weld_train("teachers", *arguments)[1])["teachers"] == 2
    printed = only_json(weld_train("distil", *arguments)[1])
    assert Path(printed["student"]).is_file()


@pytest.mark.parametrize("scheme", ["dynamic", "none"])
def test_compile_and_evaluate(folder: Path, tmp_path: Path, scheme: str) -> None:
    """A student's file compiles to either scheme, and the artifact evaluates with the documented fields."""
    out = tmp_path / f"{scheme}.pt"
    status, stdout, _ = weld_train(
        "compile", folder / "out" / "student.pt", "--scheme", scheme, "--out", out, "--json"
    )
    assert status == 0
    assert only_json(stdout)["scheme"] == scheme
    assert only_json(stdout)["bytes"] == out.stat().st_size

    status, stdout, _ = weld_train("evaluate", out, "--data", folder / "data", "--json")
    result = only_json(stdout)
    assert status == 0
    assert (result["n"], result["learnt_from"]) == (6, 12)
    assert 0 <= result["accuracy"] <= 1
    assert 0 <= result["macro_f1"] <= 1
    assert result["per_class"].keys() == {"bad", "good"}
    assert sum(map(sum, result["confusion"])) == 6
    for share in ("passed", "failed", "review", "novel", "escapes", "overkill"):
        low, high = result[share]["interval"]
        assert low <= result[share]["share"] <= high
        assert result[share]["interval_over"] == "runs"


def test_evaluate_prints_classes_for_people(folder: Path) -> None:
    """Without --json, the metrics are printed as tables, by class."""
    status, stdout, _ = weld_train("evaluate", folder / "out" / "weldnet.pt", "--data", folder / "data")
    assert status == 0
    assert "recall" in stdout


def test_evaluate_takes_the_part_that_is_asked_for(folder: Path, tmp_path: Path) -> None:
    """The default is test, else valid, else everything; --split chooses, and a missing part is an error."""
    class_folders(tmp_path / "valid", runs=1, frames=1, seed=1000)
    class_folders(tmp_path / "train", runs=2, frames=1, seed=2000)
    artifact = folder / "out" / "weldnet.pt"
    arguments = ["evaluate", artifact, "--data", tmp_path, "--json"]
    assert only_json(weld_train(*arguments)[1])["part"] == "valid"
    assert only_json(weld_train(*arguments, "--split", "train")[1])["n"] == 4
    status, _, stderr = weld_train(*arguments, "--split", "test")
    assert status == 2
    assert "no such part" in stderr


@pytest.mark.parametrize(("what", "classes"), [("weld-pools", 6), ("textures", 2)])
def test_synth_writes_labelled_frames(tmp_path: Path, what: str, classes: int) -> None:
    """The command synth draws the wanted number of frames, in a form that run and evaluate read."""
    from trainer.data import datasets

    arguments = ["synth", "--out", tmp_path / "s", "--count", 12, "--seed", 1, "--what", what, "--json"]
    status, stdout, _ = weld_train(*arguments)
    assert status == 0
    assert only_json(stdout)["count"] == 12
    listing = datasets.read(tmp_path / "s")
    assert len(listing.frames) == 12
    assert len({frame.label for frame in listing.frames}) == classes
    assert not listing.problems


def test_a_student_is_no_artifact(folder: Path) -> None:
    """A student in the artifact's place is one line on stderr, with status 2."""
    status, stdout, stderr = weld_train("evaluate", folder / "out" / "student.pt", "--data", folder / "data")
    assert (status, stdout) == (2, "")
    assert "lacks metadata.json" in stderr
    assert len(stderr.strip().splitlines()) == 1


def test_all_problems_are_shown_or_filed(tmp_path: Path) -> None:
    """A few problems are printed; of many, the first are printed and a file in the run folder has all."""
    data = class_folders(tmp_path / "data", runs=4, frames=8)
    images = sorted(data.rglob("*.png"))
    for path in images[:2]:
        path.write_bytes(b"broken")
    recipe = write_recipe(tmp_path / "tiny.yaml")
    arguments = ["run", recipe, "--data", data, "--out", tmp_path / "out"]
    status, _, stderr = weld_train(*arguments)
    assert status == 2
    assert all(str(path) in stderr for path in images[:2])
    assert stderr.rstrip().splitlines()[-1] == f"weld-train: {data}: 2 × unreadable image"

    for path in images[:30]:
        path.write_bytes(b"broken")
    status, _, stderr = weld_train(*arguments)
    filed = (tmp_path / "out" / "problems.txt").read_text()
    assert status == 2
    assert all(str(path) in filed for path in images[:30])
    assert "all 30 are in" in stderr


def test_help_is_instant_and_needs_no_torch() -> None:
    """--help imports neither torch nor numpy nor the image library."""
    script = (
        "import sys, trainer.commands.cli; print([m for m in ('torch', 'numpy', 'PIL') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], env=ENVIRONMENT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


def test_a_missing_extra_is_one_friendly_line(folder: Path, tmp_path: Path) -> None:
    """Without torchvision, the commands name the package to install, with status 2."""
    (tmp_path / "torchvision.py").write_text("raise ModuleNotFoundError('gone', name='torchvision')\n")
    environment = ENVIRONMENT | {"PYTHONPATH": f"{tmp_path}:{ENVIRONMENT['PYTHONPATH']}"}
    done = subprocess.run(
        [*COMMAND, *map(str, run_arguments(folder))],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr == "weld-train: training needs torchvision: pip install 'weldnet-station[train]'\n"


def test_ctrl_c_ends_with_130_and_says_how_to_resume(folder: Path, tmp_path: Path) -> None:
    """Ctrl-C in a training is one line with status 130, and the last epoch's checkpoint is kept."""
    out = tmp_path / "out"
    arguments = [*map(str, run_arguments(folder)[:-1]), str(out), "--set", "training.epochs=1000"]
    process = subprocess.Popen(
        [*COMMAND, *arguments],
        env=ENVIRONMENT,
        stderr=subprocess.PIPE,
        text=True,
        # A background job of a shell starts with SIGINT ignored, and so do its own processes.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - one thread, one call
    )
    with process:
        assert process.stderr is not None
        for line in process.stderr:
            if "epoch 2/1000" in line:
                process.send_signal(signal.SIGINT)
                break
        rest = process.stderr.read()
    assert process.returncode == 130
    assert rest.splitlines()[-1].startswith("weld-train: stopped; the same command resumes")
    assert "Traceback" not in rest
    assert (out / "checkpoints" / "teacher-1.pt").is_file()


def test_a_locale_that_is_not_utf8_changes_no_path(folder: Path, tmp_path: Path) -> None:
    """In an ASCII locale the names in a CSV lead to the same files as in a UTF-8 locale."""
    label = min(path.name for path in (folder / "data").iterdir())
    Image.new("L", (80, 80), 128).save(tmp_path / "Naht-ü.png")
    (tmp_path / "labels.csv").write_text(f"path,label\nNaht-ü.png,{label}\n", encoding="utf-8")
    ran = subprocess.run(
        [*COMMAND, "evaluate", folder / "out" / "weldnet.pt", "--data", tmp_path / "labels.csv", "--json"],
        env=ENVIRONMENT | {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert only_json(ran.stdout)["n"] == 1
