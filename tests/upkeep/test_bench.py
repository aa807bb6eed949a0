"""The bench: its figures agree with each other, on the user's images or its own."""

import json
import shutil
import tempfile

import pytest
from artifact_samples import compiled, picture
from PIL import Image

from inspector.errors import ArtifactError, FolderError
from inspector.upkeep import bench


@pytest.fixture(scope="module")
def artifact(tmp_path_factory):
    """Provide a tiny artifact."""
    out = tmp_path_factory.mktemp("bench") / "tiny.pt"
    compiled(out)
    return out


@pytest.fixture(scope="module")
def result(artifact, tmp_path_factory):
    """Provide the bench's figures on three images, beside a file that is none."""
    folder = tmp_path_factory.mktemp("images")
    for seed in range(3):
        Image.fromarray(picture(seed)).save(folder / f"{seed}.png")
    (folder / "notes.txt").write_text("no image")
    return bench.bench(artifact, folder, rounds=3, frames=10)


def test_figures_agree_with_each_other(result):
    """The ideal follows from threads and stages, efficiency from the ideal; medians are between quartiles."""
    assert json.loads(json.dumps(result)).keys() >= {
        "decode_ms",
        "prepare_ms",
        "batch1_all_threads_ms",
        "batch8_all_threads_ms",
        "processor_ms",
        "memory_mb",
        "threads",
        "batch1_ms",
        "batch8_ms",
        "images_per_second",
        "ideal_images_per_second",
        "efficiency",
    }
    stages = result["decode_ms"] + result["prepare_ms"] + result["batch8_ms"]
    ideal = result["threads"] * 1000 / stages
    # Figures are rounded to 0.1 and 0.001: much of a small frame's stage, and of a busy machine's efficiency.
    assert result["ideal_images_per_second"] == pytest.approx(ideal, abs=0.05 + 0.02 * ideal)
    efficiency = result["images_per_second"] / ideal
    assert result["efficiency"] == pytest.approx(efficiency, abs=0.0005 + 0.02 * efficiency)
    assert result["memory_mb"] > 50  # torch alone takes so much
    for name, (low, high) in result["spread"].items():
        assert 0 < low <= high, name
        assert low * 0.99 <= result[name] <= high * 1.01, name


def test_table_lists_every_stage(result):
    """The table names the artifact and shows the figure of each stage."""
    text = bench.table(result)
    assert "tiny 1, dynamic" in text
    for name, _ in bench.ROWS:
        assert f"{result[name]:g}" in text


def test_without_images_it_makes_some(artifact, monkeypatch, tmp_path):
    """Without a folder, frames of the camera's size are made, measured and removed."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    result = bench.bench(artifact, rounds=1, frames=4)
    assert result["frames"] == 4
    assert result["decode_ms"] > 0
    assert not list(tmp_path.iterdir())


def test_it_keeps_off_the_real_station(artifact, monkeypatch, tmp_path):
    """The bench ignores settings in the environment, such as the real station's database."""
    Image.fromarray(picture(0)).save(tmp_path / "a.png")
    monkeypatch.setenv("WELD_DATABASE_URL", f"sqlite:///{tmp_path / 'quality.db'}")
    monkeypatch.setenv("WELD_DROP_FOLDER", str(tmp_path))
    assert bench.bench(artifact, tmp_path, rounds=1, frames=2)["images_per_second"] > 0
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_a_folder_without_images_is_refused(artifact, tmp_path):
    """A folder that is missing or has no image gives one line."""
    with pytest.raises(FolderError, match="no image"):
        bench.bench(artifact, tmp_path)
    with pytest.raises(FolderError, match="not a folder"):
        bench.bench(artifact, tmp_path / "missing")


def test_a_wrong_artifact_is_refused(tmp_path):
    """A missing artifact gives one line before anything is measured."""
    with pytest.raises(ArtifactError, match="no such file"):
        bench.bench(tmp_path / "missing.pt")


def test_an_artifact_that_others_can_write_is_refused(artifact, tmp_path, monkeypatch):
    """Bench loads no code that the station would refuse; the environment can allow it, as for the station."""
    loose = tmp_path / "loose.pt"
    shutil.copy(artifact, loose)
    loose.chmod(0o666)
    Image.fromarray(picture(0)).save(tmp_path / "a.png")
    with pytest.raises(ArtifactError, match="everybody may write to"):
        bench.bench(loose, tmp_path, rounds=1, frames=2)
    monkeypatch.setenv("WELD_OTHERS_MAY_WRITE", "true")
    assert bench.bench(loose, tmp_path, rounds=1, frames=2)["images_per_second"] > 0
