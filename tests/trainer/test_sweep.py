"""A sweep of tiny runs: finished runs are skipped, tables, comparison and figures are made."""

from __future__ import annotations

import io
import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from rich.console import Console
from tiny_runs import epochs, only_json, weld_train, write_recipe
from trainer_samples import class_folders, write_picture

from trainer.artifact.student import Student
from trainer.errors import RecipeError, UsageError
from trainer.evaluation.comparison import compare
from trainer.evaluation.metrics import mcnemar
from trainer.paper import tables
from trainer.recipe import Recipe
from trainer.run.folder import RunFolder
from trainer.run.identity import Identity
from trainer.run.progress import Progress
from trainer.sweep import _changes

DECISIVE = ("split_fingerprint", "start", "git_commit", "environment")  # in run.json, besides the recipe
VARY = ["--vary", "network.architecture=[mobilenet_v3_small]"]


@dataclass
class Swept:
    """A finished sweep."""

    recipe: Path
    data: Path
    out: Path

    def command(self, *more: object) -> list[object]:
        """Return the arguments that a user types."""
        return ["sweep", self.recipe, "--data", self.data, "--out", self.out, *more, "--json"]


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Swept:
    """Two seeds of WeldNet and one of MobileNetV3, two epochs each."""
    root = tmp_path_factory.mktemp("sweep")
    recipe = write_recipe(root / "tiny.yaml", **epochs(2))
    made = Swept(recipe, class_folders(root / "data", frames=3), root / "out")
    assert weld_train(*made.command("--seeds", "0,1"))[0] == 0
    assert weld_train(*made.command(*VARY, "--seeds", "0"))[0] == 0
    return made


def test_finished_runs_are_skipped(swept: Swept) -> None:
    """The same command again trains nothing and names the same runs; wrong changes are refused."""
    status, stdout, stderr = weld_train(*swept.command(*VARY, "--seeds", "0,1", "--set", "seed=9"))
    assert status == 0  # the sweep sets the seed, not --set
    assert only_json(stdout)["done"] == [
        "recipe-seed0",
        "architecture-mobilenet_v3_small-seed0",
        "recipe-seed1",
        "architecture-mobilenet_v3_small-seed1",
    ]
    assert stderr.count("run architecture-mobilenet_v3_small-seed1") == 1
    assert "recipe-seed1 (" not in stderr
    for wrong, words in [
        ("training.mixup=0.2", "write it as key=[value, value]"),
        ("training.mix=[1]", "did you mean 'training.mixup'"),
    ]:
        status, stdout, stderr = weld_train(*swept.command("--vary", wrong))
        assert (status, stdout) == (2, "")
        assert words in stderr
    status, stdout, stderr = weld_train(*swept.command("--seeds", "one"))
    assert (status, stdout) == (2, "")
    assert "give whole numbers, as 0,1,2" in stderr


def test_a_finished_run_of_another_recipe_is_not_taken_for_done(swept: Swept, tmp_path: Path) -> None:
    """Another --set, or data that is gone, is refused by name instead of a list of finished runs."""
    status, stdout, stderr = weld_train(*swept.command("--seeds", "0", "--set", "training.momentum=0.5"))
    assert (status, stdout) == (2, "")
    assert "recipe-seed0: holds another run (training.momentum is 0.9 there, 0.5 here)" in stderr
    gone = replace(swept, data=tmp_path / "gone")
    assert weld_train(*gone.command("--seeds", "0"))[0] == 2


def test_finished_runs_of_other_data_are_not_taken_for_done(swept: Swept, tmp_path: Path) -> None:
    """The same recipe on other frames is another run; the same frames in another folder are the same run."""
    moved = shutil.copytree(swept.data, tmp_path / "moved")
    command = Swept(swept.recipe, moved, swept.out).command("--seeds", "0")
    status, stdout, _ = weld_train(*command)
    assert status == 0
    assert only_json(stdout)["done"] == ["recipe-seed0"]
    write_picture(moved / "good" / "good-run0" / "0.png", 1, 4711)
    status, _, stderr = weld_train(*command)
    assert status == 2
    assert "holds another run (the data's split is" in " ".join(stderr.split())


def test_a_seed_has_one_folder_however_it_is_written(swept: Swept) -> None:
    """``00`` and ``0`` are one seed; ``--vary seed`` would write equal runs under other names."""
    status, stdout, _ = weld_train(*swept.command("--seeds", "00, 0"))
    assert status == 0
    assert only_json(stdout)["done"] == ["recipe-seed0"]
    status, _, stderr = weld_train(*swept.command("--vary", "seed=[0, 1]"))
    assert status == 2
    assert "give seeds as --seeds" in stderr


def test_a_long_change_has_a_folder_with_a_short_name() -> None:
    """A value that is longer than a folder's name may be is named by its hash, and differs from others."""
    plans = [[[1, 1]] * 63 + [[2, stride]] for stride in (1, 2)]
    names = list(_changes([f"network.plan={json.dumps(plans)}"]))
    assert len(set(names)) == 2
    assert all(name.startswith("plan-") and len(name) < 40 for name in names)


def test_changes_never_share_a_folder() -> None:
    """Two keys that end alike are named whole, and values that make one name are refused."""
    assert list(_changes(["training.mixup=[0]", "distillation.mixup=[0, 1]", "training.gamma=[1]"])) == [
        "training.mixup-0",
        "distillation.mixup-0",
        "distillation.mixup-1",
        "gamma-1",
    ]
    with pytest.raises(RecipeError, match="two changes would write the folder start-a-b"):
        _changes(["network.start=[a b, a/b]"])


def test_a_change_after_the_teachers_uses_their_files(swept: Swept) -> None:
    """A change after the teachers uses their files, and the result equals that of a run without them."""
    change, other = "distillation.true_labels=0.5", "training.momentum=0.8"
    vary = ["--vary", change.replace("0.5", "[0.5]"), "--vary", other.replace("0.8", "[0.8]")]
    out = swept.out.parent / "lending"
    shutil.copytree(swept.out / "recipe-seed1", out / "recipe-seed1")
    assert weld_train(*replace(swept, out=out).command(*vary, "--seeds", "1"))[0] == 0
    lent, own = "checkpoints/teacher-1.pt", "checkpoints/student.pt"
    unchanged, borrowed, trained = (
        out / f"{name}-seed1" for name in ("recipe", "true_labels-0.5", "momentum-0.8")
    )
    assert (borrowed / lent).samefile(unchanged / lent)
    assert not (borrowed / own).samefile(unchanged / own)
    assert not (trained / lent).samefile(unchanged / lent)
    alone = swept.out.parent / "alone"
    options = ["--data", swept.data, "--out", alone, "--set", "seed=1", "--set"]
    assert weld_train("run", swept.recipe, *options, change)[0] == 0
    for name in (lent, own):
        mine, theirs = (torch.load(run / name)["network"] for run in (alone, borrowed))
        assert all(torch.equal(mine[key], theirs[key]) for key in theirs), name


def test_teachers_are_linked_only_if_a_runs_own_would_be_the_same(swept: Swept, tmp_path: Path) -> None:
    """Teachers are linked only if split, start, commit, machine and training are the same."""
    finished = swept.out / "recipe-seed0"
    mark = json.loads((finished / "run.json").read_text())
    recipe = yaml.safe_load((finished / "recipe.yaml").read_text())
    bare = tmp_path / "bare"
    bare.mkdir()
    for number, (source, asked, identity, lent) in enumerate(
        [
            (finished, recipe, mark, True),
            (finished, recipe | {"distillation": {}, "ensemble": {}}, mark, True),
            (finished, recipe | {"training": {}}, mark, False),
            (finished, recipe | {"seed": 1}, mark, False),
            *((finished, recipe, mark | {key: "another"}, False) for key in DECISIVE),
            (bare, recipe, mark, False),
        ]
    ):
        with RunFolder(tmp_path / str(number)) as folder:
            folder.link_teachers(source, Recipe(**asked), Identity(**identity))
        assert folder.checkpoint("teacher-1").exists() == lent, number


def test_tables_hold_every_method_with_n_and_spread(swept: Swept) -> None:
    """Tables 1 to 4 have counts, networks, methods and speed; all seeds of one change are one row."""
    status, stdout, _ = weld_train("table", "--run", swept.out, "--json")
    result = only_json(stdout)
    made: dict[str, Any] = result["tables"]
    assert status == 0
    assert made["1"]["rows"] == [["bad", "6", "3"], ["good", "6", "3"], ["all", "12", "6"]]
    singles = {row[0]: row for row in made["2"]["rows"]}
    assert singles.keys() == {"recipe", "architecture-mobilenet_v3_small"}
    assert singles["recipe"][2].endswith("(n = 4)")
    assert singles["architecture-mobilenet_v3_small"][6] == "0.15"
    accuracy = {row[0]: row[1:] for row in made["3"]["rows"]}
    column = made["3"]["header"].index("recipe") - 1
    assert accuracy["distilled student, accuracy %"][column].endswith("(n = 2)")
    assert accuracy["distilled student, accuracy %"][1 - column] == ""
    speed = {row[0]: row[5] for row in made["4"]["rows"]}
    assert all(float(text.split()[0]) > 0 for text in speed.values())
    assert speed["recipe: focal ensemble"].endswith(" (divided by 2, not measured)")
    assert [name for name, text in speed.items() if " " in text] == [
        name for name in speed if name.endswith(": focal ensemble")
    ]
    assert {"recipe", "recipe, int8"} <= result["frames_per_second"].keys()
    assert "distilled student, cross entropy" in accuracy
    assert "## Table 3" in (swept.out / "tables.md").read_text()
    assert len(result["figures"]) == 5
    assert all((swept.out / name).stat().st_size > 5000 for name in result["figures"])
    assert "Table 4" in weld_train("table", "--run", swept.out / "recipe-seed0")[1]


def test_figures_without_their_frames_are_left_out(swept: Swept, tmp_path: Path) -> None:
    """If the data is gone, the tables are made, and the figures of sample frames are not listed."""
    about = swept.out / "recipe-seed0" / "results.json"
    before = about.read_text()
    about.write_text(json.dumps(json.loads(before) | {"data": str(tmp_path / "gone")}))
    try:
        made = tables.tables(swept.out / "recipe-seed0")["figures"]
    finally:
        about.write_text(before)
    assert "figure-12.png" in made
    assert "figure-1-and-10.png" not in made


@pytest.mark.parametrize("content", [b"", b"{", b"\0" * 64, b"[]", b"{}"])
def test_results_that_a_power_cut_damaged_are_named_and_written_again(
    swept: Swept, tmp_path: Path, content: bytes
) -> None:
    """A torn results.json is one line with its name for ``table``, and no finished run for ``sweep``."""
    out = tmp_path / "out"
    shutil.copytree(swept.out / "recipe-seed0", out / "recipe-seed0")
    torn = out / "recipe-seed0" / "results.json"
    before = json.loads(torn.read_text())
    torn.write_bytes(content)
    status, _, stderr = weld_train("table", "--run", out, "--json")
    assert status == 2
    assert f"{torn}: is missing or damaged, as after a power cut; the command" in stderr.replace("\n", " ")
    if content:
        return
    assert weld_train(*Swept(swept.recipe, swept.data, out).command("--seeds", "0"))[0] == 0
    assert json.loads(torn.read_text())["models"].keys() == before["models"].keys()


def test_a_folder_without_runs_is_named(tmp_path: Path) -> None:
    """The command table on a folder without runs is one line with status 2."""
    with pytest.raises(RecipeError, match="holds no finished run"):
        tables.tables(tmp_path)
    assert weld_train("table", "--run", tmp_path)[0] == 2


def test_a_run_of_another_version_is_named(swept: Swept) -> None:
    """A recipe with a key that this version lacks is one line with the run and the key, and status 2."""
    recipe = swept.out / "recipe-seed0" / "recipe.yaml"
    before = recipe.read_text()
    recipe.write_text(before + "gone: 1\n")
    try:
        status, _, stderr = weld_train("table", "--run", swept.out / "recipe-seed0")
    finally:
        recipe.write_text(before)
    assert status == 2
    assert f"{recipe}: there is no key 'gone'" in " ".join(stderr.split())
    assert "Traceback" not in stderr


def test_a_student_of_another_version_is_named(swept: Swept, tmp_path: Path) -> None:
    """Compiling a student whose recipe has an unknown key is one line, and writes no file."""
    student = Student.load(swept.out / "recipe-seed0" / "student.pt")
    replace(student, recipe=student.recipe | {"gone": 1}).save(tmp_path / "old.pt")
    status, _, stderr = weld_train(
        "compile", tmp_path / "old.pt", "--scheme", "none", "--out", tmp_path / "weldnet.pt"
    )
    assert status == 2
    assert (
        "another version: compile it with that version, or train it again: there is no key 'gone'"
        in " ".join(stderr.split())
    )
    assert "Traceback" not in stderr
    assert not (tmp_path / "weldnet.pt").exists()


def test_shares_are_written_with_their_spread() -> None:
    """A share is written as mean, standard deviation and n; a single value has no deviation."""
    assert tables.spread([0.9, 0.92, 0.94]) == "92.0 ± 2.0 (n = 3)"
    assert tables.spread([0.5]) == "50.0 (n = 1)"
    assert tables.spread([0.1, 0.3], unit=1, digits=3) == "0.200 ± 0.141 (n = 2)"


def test_an_artifact_equals_itself_and_differs_by_frames(swept: Swept) -> None:
    """An artifact equals itself; the counts of a comparison with another one match evaluate."""
    old, new = (swept.out / f"recipe-seed{seed}" / "weldnet.pt" for seed in (0, 1))
    status, stdout, _ = weld_train("compare", old, old, "--data", swept.data, "--json")
    same = only_json(stdout)
    assert status == 0
    assert (same["only_old"], same["only_new"], same["p"]) == (0, 0, 1.0)
    assert same["verdict"] == "no clear difference"
    other = compare(old, new, swept.data, None, Progress(Console(file=io.StringIO())))
    gained = other["only_new"] - other["only_old"]
    assert other["new"]["accuracy"] - other["old"]["accuracy"] == pytest.approx(gained / other["n"])
    assert sum(each["frames"] for each in other["per_class"].values()) == other["n"] == 6
    assert other["learnt_from"] == 12, "the frames that both learnt from"
    assert len(other["changed"]) == other["only_old"]
    assert "McNemar" in weld_train("compare", old, new, "--data", swept.data)[1]


def test_artifacts_of_other_classes_are_not_compared(swept: Swept, tmp_path: Path) -> None:
    """Artifacts with different class orders are refused, and the message has both lists."""
    changes = epochs(1) | {"name": "other", "accept": [], "ensemble": {"teachers": 1}}
    write_recipe(tmp_path / "other.yaml", **changes)
    data = class_folders(tmp_path / "data", classes=("dull", "bright"))
    assert weld_train("run", tmp_path / "other.yaml", "--data", data, "--out", tmp_path / "out")[0] == 0
    old, new = swept.out / "recipe-seed0" / "weldnet.pt", tmp_path / "out" / "weldnet.pt"
    with pytest.raises(UsageError, match=r"knows the classes bad, good, but .* bright, dull"):
        compare(old, new, swept.data, None, Progress(Console(file=io.StringIO())))


def test_mcnemar_against_the_binomial_by_hand() -> None:
    """Ten frames that differ, one right for the first, give 2·(1 + 10)/1024; none and a tie give 1."""
    assert mcnemar(1, 9) == pytest.approx(22 / 1024)
    assert mcnemar(9, 1) == mcnemar(1, 9)
    assert mcnemar(0, 0) == mcnemar(5, 5) == 1.0
    assert 0 <= mcnemar(900, 1100) < 0.001
