"""``weld-inspect init``: one command makes a station that runs, and never touches one that is there."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from artifact_samples import described, picture
from PIL import Image
from sqlalchemy.engine import make_url
from stations import Station
from typer.testing import CliRunner, Result

from inspector import settings
from inspector.commands.cli import app
from inspector.upkeep import new_station
from inspector.upkeep.new_station import DEMONSTRATION, EXAMPLE


def _init(*words: object) -> Result:
    return CliRunner().invoke(app, ["init", *map(str, words)])


def _content(folder: Path) -> dict[str, bytes | None]:
    return {str(path): path.read_bytes() if path.is_file() else None for path in sorted(folder.rglob("*"))}


def test_a_station_is_made_that_inspects(tmp_path: Path, tiny: Path):
    """After init alone a dropped image is judged by the given artifact, recorded and archived."""
    folder = tmp_path / "shop" / "cell-7"
    done = _init(folder, "--artifact", tiny)
    assert done.exit_code == 0, done.output
    assert "WRONG" not in done.stdout
    assert f"weld-inspect run --config {folder}/config.yaml" in done.stdout
    assert "demonstration" not in done.stdout
    assert (folder / "weldnet.pt").read_bytes() == tiny.read_bytes()
    Image.fromarray(picture(1)).save(folder / "drop" / "a.png")
    once = CliRunner().invoke(app, ["once", "--config", str(folder / "config.yaml")])
    assert once.exit_code == 0
    url = make_url(f"sqlite:///{folder}/quality.db")
    [row] = Station(tmp_path, tiny, url).rows("SELECT source_name, archive_path FROM inspection")
    assert row.source_name == "a.png"
    assert (folder / "archive" / row.archive_path).exists()
    made, example = (yaml.safe_load(path.read_text()) for path in (folder / "config.yaml", EXAMPLE))
    assert made == example | {"station": "cell-7"}


def test_without_an_artifact_it_is_the_demonstrations(tmp_path: Path):
    """The demonstration's network is copied, and the output says that it must not judge real welds."""
    done = _init(tmp_path)  # an empty folder is as good as a new one
    assert done.exit_code == 0, done.output
    assert (tmp_path / "weldnet.pt").read_bytes() == DEMONSTRATION.read_bytes()
    assert "Never judge a real weld with it" in done.stdout


@pytest.mark.parametrize("name", ["7", "my cell", "焊缝", "x" * 100, "yes", "a:b#c"])
def test_any_folder_name_gives_a_valid_station(tmp_path: Path, tiny: Path, name: str):
    """The folder's name becomes the station's, with other characters where the settings allow none."""
    config = new_station.make(tmp_path / name, tiny)
    assert settings.load(config).station == name.replace(" ", "-").replace(":", "-").replace("#", "-")[:64]


def test_nothing_is_ever_overwritten(tmp_path: Path, tiny: Path):
    """A station, a folder that holds anything and a file are refused in one line, and stay as they are."""
    station, other, file = tmp_path / "station", tmp_path / "other", tmp_path / "file"
    new_station.make(station, tiny)
    other.mkdir()
    (other / "notes.txt").write_text("mine")
    file.write_text("mine")
    before = _content(tmp_path)
    for place, said in ((station, "is a station already"), (other, "notes.txt"), (file, "Not a directory")):
        done = _init(place, "--artifact", tiny)
        assert said in str(done.exception)
        assert done.exception.exit_status == 2
    assert _content(tmp_path) == before


def test_a_wrong_artifact_leaves_nothing_behind(tmp_path: Path, tiny: Path):
    """If the artifact is missing, damaged or not to be deployed, no folder is made."""
    damaged, unfit = tmp_path / "damaged.pt", tmp_path / "unfit.pt"
    damaged.write_bytes(tiny.read_bytes()[:-1000])
    unfit.write_bytes(described(tiny, metrics={"training_verdict": "do not deploy"}))
    for artifact in (tmp_path / "none.pt", damaged, unfit):
        done = _init(tmp_path / "station", "--artifact", artifact)
        assert str(artifact) in str(done.exception)
        assert done.exception.exit_status == 2
        assert not (tmp_path / "station").exists()
