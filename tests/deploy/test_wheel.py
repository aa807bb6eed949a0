"""The wheel has all that both programs need, so that they work without the checkout."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder
from waiting import HANG_S

CHECKOUT = Path(__file__).parents[2]
# What a person does first, in one process: to start one for each command takes most of the time.
FIRST_STEPS = """
import contextlib, io, json, shutil, sys
from pathlib import Path
import inspector
from inspector.commands.cli import main as weld_inspect
from trainer.commands.cli import main as weld_train

def say(program, *words):
    sys.argv, said = ["program", *words], io.StringIO()
    with contextlib.redirect_stdout(said):
        try:
            program()
        except SystemExit as end:
            assert not end.code, (words, said.getvalue())
    return said.getvalue()

say(weld_train, "synth", "--out", "frames", "--count", "6")
say(weld_inspect, "init", "station")
for image in Path("frames").rglob("*.png"):
    shutil.copy(image, "station/drop")
once = say(weld_inspect, "once", "--json", "--config", "station/config.yaml")
page = say(weld_inspect, "report", "html", "--out", "report.html", "--config", "station/config.yaml")
rows = say(weld_inspect, "report", "summary", "--format", "json", "--config", "station/config.yaml")
print(json.dumps([inspector.__file__, json.loads(once), json.loads(rows)]))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    [file] = WheelBuilder(str(CHECKOUT)).build(directory=str(folder), versions=["standard"])
    return Path(file)


def test_the_wheel_has_every_file_and_no_other(wheel: Path):
    """Modules, templates, weights, recipes, SQL and the files of deploy are in it; tests are not."""
    places = {
        "inspector": "inspector",
        "trainer": "trainer",
        "sql": "inspector/_data/sql",
        "deploy": "inspector/_data/deploy",
    }
    wanted = {
        f"{place}/{path.relative_to(CHECKOUT / folder).as_posix()}"
        for folder, place in places.items()
        for path in (CHECKOUT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert names == wanted


def test_the_wheel_s_metadata_are_those_of_the_project(wheel: Path):
    """Name, licences and both programs are in the metadata."""
    archive = zipfile.ZipFile(wheel)
    [about] = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
    lines = archive.read(about).decode().splitlines()
    assert "Name: weldnet-station" in lines
    assert "License-Expression: Apache-2.0" in lines
    assert {"Provides-Extra: train", "Provides-Extra: postgres", "Provides-Extra: console"} <= set(lines)
    programs = archive.read(about.replace("METADATA", "entry_points.txt")).decode().split()
    assert {"weld-inspect", "weld-train"} <= set(programs)


def test_the_first_steps_work_from_the_wheel_alone(wheel: Path, tmp_path: Path):
    """Frames are drawn, a station is made and inspects them, and reports come, all from the wheel."""
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    done = subprocess.run(
        [sys.executable, "-c", FIRST_STEPS],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path / "site")},
        capture_output=True,
        text=True,
        timeout=HANG_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    package, once, summary = json.loads(done.stdout)
    assert Path(package).is_relative_to(tmp_path / "site")
    assert (once["inspected"], once["quarantined"]) == (6, 0)
    assert sum(row["n"] for row in summary["rows"]) == 6
    assert "<html" in (tmp_path / "report.html").read_text()
