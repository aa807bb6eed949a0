"""Files that an older version made keep working; ``tests/legacy/*/README.md`` says how they were made."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from numpy.typing import NDArray
from shelves import figures, say
from sqlalchemy.engine import make_url
from stations import Station
from tiny_runs import read_csv, weld_train

from inspector import resources
from inspector.imaging.decoder import read_image
from inspector.network import artifact, metadata
from inspector.network.artifact import Artifact
from inspector.network.classifier import Classifier

MADE = Path(__file__).with_name("legacy") / "2026-11"
# Databases of the same station and images by later programs, of revisions 0005 to 0007.
LATER = [MADE.with_name(f"{MADE.name}-{revision}") / "quality.db" for revision in ("0005", "0006", "0007")]
DATABASES = pytest.mark.parametrize("made", [MADE / "quality.db", *LATER], ids=lambda path: path.parent.name)
FRAMES = sorted((MADE / "frames").rglob("*.png"))
ARTIFACTS = {"dynamic": MADE / "weldnet.pt", "static": MADE / "weldnet-static.pt"}
BY_HASH = {hashlib.sha256(path.read_bytes()).hexdigest(): path for path in FRAMES}
SQL = resources.folder("sql")

torch.set_num_threads(1)  # as when the files were made


# --- the trainer's files ---------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ARTIFACTS)
def test_a_student_compiles_to_the_same_answers(scheme: str, tmp_path: Path) -> None:
    """The artifact that the student gives today says of each frame what the artifact made then says."""
    out = tmp_path / "weldnet.pt"
    done = weld_train("compile", MADE / "student.pt", "--scheme", scheme, "--out", out)
    assert done[0] == 0, done
    then, now = artifact.open(ARTIFACTS[scheme]), artifact.open(out)
    for about in (then.metadata, now.metadata):
        assert about.quantization == scheme
    assert now.metadata.classes == then.metadata.classes
    assert now.metadata.thresholds == then.metadata.thresholds
    assert answers(now) == pytest.approx(answers(then), abs=then.metadata.golden.probability)


def test_a_killed_run_goes_on(tmp_path: Path) -> None:
    """The run keeps the epochs that it has and ends with the weights of a run that nothing interrupted."""
    out = tmp_path / "run"
    shutil.copytree(MADE / "run", out, copy_function=shutil.copyfile)
    before = read_csv(out / "logs/student.csv")
    done = weld_train("run", MADE / "recipe.yaml", "--data", MADE / "frames", "--out", out)
    assert done[0] == 0, done
    assert read_csv(out / "logs/teacher-1.csv") == read_csv(MADE / "run/logs/teacher-1.csv")
    after = read_csv(out / "logs/student.csv")
    assert (len(before), len(after)) == (10, 12)
    assert after[:10] == before, "the seconds of an epoch that is learnt again differ"
    assert metadata.read(out / "weldnet.pt").name == "small"
    expected, weights = (
        torch.load(path / "student.pt", weights_only=True)["weights"] for path in (MADE, out)
    )
    # Measured: up to 8e-5 with other instructions or threads, 5e-3 without vector instructions, because these
    # round pixels differently, 9e-3 if the momentum is lost, 7e-2 if the average of the weights is lost.
    tolerance = 2e-3 if "AVX" in torch.backends.cpu.get_cpu_capability() else 4e-2
    assert max(distance(weights[name], value) for name, value in expected.items()) < tolerance


def distance(one: torch.Tensor, other: torch.Tensor) -> float:
    """How far two tensors are apart, as a share of the second's norm."""
    return float((one.double() - other.double()).norm() / other.double().norm().clamp_min(1e-9))


# --- the artifact ----------------------------------------------------------------------------------------


def answers(network: Artifact) -> NDArray[np.float32]:
    """Probabilities float32[frames, classes] of the frames."""
    prepared = [network.prepare(read_image(path, bit_depth=network.metadata.bit_depth)) for path in FRAMES]
    return network.forward(torch.stack(prepared))[0].numpy()


def test_an_artifact_gives_the_judgements_that_it_gave(station: OldStation) -> None:
    """It proves itself on its golden frames and judges each frame of the database as it did then."""
    network = artifact.open(MADE / "weldnet.pt")
    judge = Classifier(network, yaml.safe_load((MADE / "config.yaml").read_text())["thresholds"])
    rows = station.rows("SELECT sha256, verdict, label, probabilities FROM inspection ORDER BY id")
    assert len(rows) == 7
    for sha256, verdict, label, probabilities in rows:
        prepared = judge.prepare(read_image(BY_HASH[sha256], bit_depth=network.metadata.bit_depth))
        (judgement,) = judge.judge([prepared], [None])
        assert (judgement.verdict, judgement.label) == (verdict, label)
        close = network.metadata.golden.probability
        assert judgement.probabilities == pytest.approx(json.loads(probabilities), abs=close)


# --- the station's files ---------------------------------------------------------------------------------


class OldStation(Station):
    """The station as the older version left it: settings, artifact, database, and the files of its rows."""

    def __init__(self, folder: Path, database: Path = MADE / "quality.db") -> None:
        self.folder, self.config = folder, folder / "config.yaml"
        self.url = make_url(f"sqlite:///{folder / 'quality.db'}")
        self.drop, self.archive, self.quarantine = (folder / n for n in ("drop", "archive", "quarantine"))
        self.drop.mkdir()
        for file in (MADE / "config.yaml", MADE / "weldnet.pt", database):
            shutil.copyfile(file, folder / file.name)
        for path, sha256, inspection in self.rows("SELECT path, sha256, inspection_id FROM arrival"):
            file = (self.archive if inspection else self.quarantine) / path
            file.parent.mkdir(parents=True, exist_ok=True)
            # The quarantined file was the start of a frame: no frame has its hash.
            file.write_bytes(BY_HASH[sha256].read_bytes() if inspection else FRAMES[0].read_bytes()[:2000])

    def table(self, name: str, columns: list[str]) -> list[dict[str, Any]]:
        """A table's rows in the order of their numbers, with these columns."""
        found = self.rows(f"SELECT {', '.join(columns)} FROM {name} ORDER BY id")
        return [dict(zip(columns, row, strict=True)) for row in found]


@pytest.fixture
def station(tmp_path: Path) -> OldStation:
    """The station before this program has touched it."""
    return OldStation(tmp_path)


def migrated(station: OldStation) -> OldStation:
    """The station after ``weld-inspect migrate``."""
    done = say(station, "migrate")
    assert done.exit_code == 0, done.output
    return station


@DATABASES
def test_a_database_is_migrated_with_all_that_it_holds(tmp_path: Path, made: Path) -> None:
    """It gets the newest schema, and each row keeps each of its values."""
    station = OldStation(tmp_path, made)
    names = [name for (name,) in station.rows("SELECT name FROM sqlite_master WHERE type = 'table'")]
    ours = ("alembic_version", "append_only")  # without rows of the station
    names = [name for name in names if name not in ours and not name.startswith("sqlite_")]
    columns = {n: [row[1] for row in station.rows(f"PRAGMA table_info({n})")] for n in names}
    before = {name: station.table(name, columns[name]) for name in names}
    assert {name: len(rows) for name, rows in before.items() if rows} == {
        "station": 1,
        "model": 1,
        "settings": 1,
        "inspection": 7,
        "quarantine": 1,
        "arrival": 9,
        "review": 1,
        "audit_sample": 2,
        "event": 4,
    }
    migrated(station)
    newest = max(file.name[:4] for file in (SQL / "migrations/versions").glob("[0-9]*.py"))
    assert station.rows("SELECT version_num FROM alembic_version") == [(newest,)]
    assert {name: station.table(name, columns[name]) for name in names} == before


def test_each_report_reads_a_migrated_database(station: OldStation, tmp_path: Path) -> None:
    """Each report runs, the page too, and the summary counts what was inspected then."""
    migrated(station)
    for name in sorted(file.stem for file in (SQL / "reports").glob("*.sql")):
        done = say(station, "report", name, "--format", "json")
        assert done.exit_code == 0, (name, done.output)
    (summary,) = json.loads(say(station, "report", "summary", "--format", "json").stdout)["rows"]
    counted = ("station", "n", "passed", "failed", "review", "repeated", "quarantined")
    assert [summary[key] for key in counted] == ["cell-3", 7, 3, 2, 2, 1, 1]
    done = say(station, "report", "html", "--out", str(tmp_path / "report.html"))
    assert done.exit_code == 0, done.output


def test_the_settings_are_accepted(station: OldStation) -> None:
    """``check`` finds no mistake in a settings file that has every key of then."""
    done = say(migrated(station), "check")
    assert done.exit_code == 0, done.output


@DATABASES
def test_a_station_goes_on_with_its_files(tmp_path: Path, made: Path) -> None:
    """An old station takes a review, knows its old files, adds rows for new ones, and accounts for all."""
    station = migrated(OldStation(tmp_path, made))
    done = say(station, "review", "set", "5", "--verdict", "PASS", "--reviewer", "ben")
    assert done.exit_code == 0, done.output
    assert station.rows("SELECT inspection_id, reviewer FROM review ORDER BY id") == [(1, "anna"), (5, "ben")]
    known, *new = (path for path in FRAMES if path.name.startswith("cam1_part-0008"))
    for path in (known, *new):
        (station.drop / path.name).write_bytes(path.read_bytes())
    (station.drop / "again.png").write_bytes(known.read_bytes())
    done = station.once()
    assert (done["inspected"], done["duplicates"], done["quarantined"], done["pending"]) == (2, 1, 0, 0)
    added = station.rows("SELECT source_name, duplicate_of, model_id FROM inspection WHERE id > 7")
    assert sorted(added) == [("again.png", 3, 1), (new[0].name, None, 1)], "3 and 1 are rows of then"
    assert figures(station, "reconcile")["unaccounted"] == 0
