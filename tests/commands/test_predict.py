"""``weld-inspect predict``: pictures judged without a station, as a station would judge them."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from artifact_samples import described, picture
from PIL import Image
from sqlalchemy.engine import URL
from stations import Station
from typer.testing import CliRunner
from waiting import HANG_S

from inspector import resources
from inspector.commands.cli import app
from inspector.commands.predict import FIELDS

PROGRAM = [sys.executable, "-c", "from inspector.commands.cli import main; main()", "predict"]
DEMONSTRATION = resources.folder("deploy") / "demo/weldnet-synthetic.pt"
FRAMES = sorted(Path(__file__).parents[1].joinpath("legacy/2026-11/frames").rglob("*.png"))


def _files(folder: Path) -> list[Path]:
    """Images of every format, frames without a weld, and files that are no image."""
    folder.mkdir()
    for frame in FRAMES[::3]:
        shutil.copyfile(frame, folder / frame.name)
    for seed, name in enumerate(("a.bmp", "b.jpg", "c.tiff", "d.png")):
        Image.fromarray(picture(seed, 400, 300)).save(folder / name)
    Image.new("L", (90, 80), 255).save(folder / "white.png")
    (folder / "cut.png").write_bytes(FRAMES[0].read_bytes()[:500])
    (folder / "empty.png").write_bytes(b"")
    return sorted(folder.iterdir())


def _predict(*words: object) -> subprocess.CompletedProcess[str]:
    """Run the command as the installed program does."""
    environment = os.environ | {"WELD_OTHERS_MAY_WRITE": "true"}  # a checkout may be writable by others
    return subprocess.run(
        [*PROGRAM, *map(str, words)],
        capture_output=True,
        text=True,
        timeout=HANG_S,
        check=False,
        env=environment,
    )


@pytest.fixture
def invoke(monkeypatch: pytest.MonkeyPatch):
    """Run the command in this process; return what it printed and its exit status or error."""
    monkeypatch.setenv("WELD_OTHERS_MAY_WRITE", "true")
    return lambda *words: CliRunner().invoke(app, ["predict", *map(str, words)])


def test_it_says_exactly_what_the_station_records(tmp_path: Path, url_of: Callable[[str], URL]):
    """Verdict, class, confidence, probabilities, novelty and reason equal those in the database to the bit.

    A file that the station quarantines has an error with the same reason; the status is 1.
    """
    files = _files(tmp_path / "pictures")
    station = Station(tmp_path, DEMONSTRATION, url_of("sqlite"), others_may_write=True)
    for file in files:
        station.deliver(file.name, file.read_bytes())
    station.once()
    rows = {row.source_name: row for row in station.rows("SELECT * FROM inspection")}
    refused = {row.source_name: row.reason for row in station.rows("SELECT * FROM quarantine")}
    assert len(rows) + len(refused) == len(files)
    assert {row.verdict for row in rows.values()} == {"PASS", "FAIL", "REVIEW"}

    done = _predict(DEMONSTRATION, "--json", *files)
    assert done.returncode == 1
    assert "demonstration" in done.stderr
    assert f"{len(refused)} of {len(files)}" in done.stderr
    [content] = [json.loads(line) for line in done.stdout.splitlines()]
    assert list(content) == ["images"]
    assert [Path(entry["file"]) for entry in content["images"]] == files
    for entry in content["images"]:
        assert tuple(entry) == FIELDS
        name = Path(entry["file"]).name
        if name in refused:
            assert entry["error"].startswith(f"{refused[name]}: ")
            assert all(entry[key] is None for key in FIELDS[1:-1])
            continue
        row = rows[name]
        recorded = (
            row.verdict,
            row.label,
            row.confidence,
            json.loads(row.probabilities),
            row.novelty,
            row.reason,
        )
        assert tuple(entry[key] for key in FIELDS[1:-1]) == recorded
        assert entry["error"] is None


def test_a_table_for_people(invoke, tiny: Path, tmp_path: Path):
    """Without --json each file is a line with verdict, class, confidence and the reason in words."""
    Image.fromarray(picture(1)).save(tmp_path / "good.png")
    Image.new("L", (90, 80), 7).save(tmp_path / "grey.png")
    done = invoke(tiny, tmp_path / "good.png", tmp_path / "grey.png")
    assert done.exit_code == 0
    [good] = [line for line in done.stdout.splitlines() if "good.png" in line]
    [grey] = [line for line in done.stdout.splitlines() if "grey.png" in line]
    assert any(verdict in good for verdict in ("PASS", "FAIL", "REVIEW"))
    assert "REVIEW" in grey
    assert grey.split()[-1] != "blank"  # a sentence, not the database's word


def test_a_folder_stands_for_its_images(invoke, tiny: Path, tmp_path: Path):
    """Of a folder the files below it are judged that end like an image; one without images is one line."""
    (tmp_path / "run/deep").mkdir(parents=True)
    for number, name in enumerate(("run/b.png", "run/deep/a.PNG", "run/.hidden.png")):
        Image.fromarray(picture(number)).save(tmp_path / name, "PNG")
    (tmp_path / "run/labels.csv").write_text("path,label\n")
    done = invoke(tiny, "--json", tmp_path / "run")
    assert [Path(entry["file"]).name for entry in json.loads(done.stdout)["images"]] == ["b.png", "a.PNG"]
    (tmp_path / "none").mkdir()
    done = invoke(tiny, tmp_path / "none")
    assert "no file in this folder ends like an image" in str(done.exception)
    assert done.exception.exit_status == 2


def test_heat_draws_each_image_and_overwrites_no_image(invoke, tiny: Path, tmp_path: Path):
    """--heat writes one picture for each judged image, for equal names too, and never over an image."""
    (tmp_path / "other").mkdir()
    images = [tmp_path / "a.png", tmp_path / "other/a.png", tmp_path / "a.heat.png", tmp_path / "bad.png"]
    for number, image in enumerate(images[:-1]):
        Image.fromarray(picture(number)).save(image)
    images[-1].write_text("no picture")
    before = [image.read_bytes() for image in images]
    done = invoke(tiny, "--json", "--heat", tmp_path, *images)
    assert json.loads(done.stdout)["images"][0]["error"] is None
    assert [image.read_bytes() for image in images] == before
    drawn = {path.name for path in tmp_path.glob("*.heat*.png")} - {"a.heat.png"}
    assert drawn == {"a-2.heat.png", "a-3.heat.png", "a.heat.heat.png"}
    for name in drawn:
        with Image.open(io.BytesIO((tmp_path / name).read_bytes())) as shown:
            assert shown.width >= 600


def test_a_folder_that_cannot_be_made_is_refused_before_the_work(invoke, tiny: Path, tmp_path: Path):
    """A file in the place of the folder of pictures is one line with status 2."""
    Image.fromarray(picture(1)).save(tmp_path / "a.png")
    done = invoke(tiny, tmp_path / "a.png", "--heat", tmp_path / "a.png")
    assert "--heat" in str(done.exception)
    assert done.exception.exit_status == 2


def test_the_trainers_verdict_is_shown(invoke, tiny: Path, tmp_path: Path):
    """A network that a station refuses is tried all the same, with a note on stderr."""
    Image.fromarray(picture(1)).save(tmp_path / "a.png")
    unfit = tmp_path / "unfit.pt"
    unfit.write_bytes(described(tiny, metrics={"training_verdict": "do not deploy: it has not learnt"}))
    done = invoke(unfit, "--json", tmp_path / "a.png")
    assert done.exit_code == 0
    assert "do not deploy" in done.stderr
    assert len(json.loads(done.stdout)["images"]) == 1
