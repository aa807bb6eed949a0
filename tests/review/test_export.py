"""Reviewed images as a data set for the trainer: labels, bytes, runs, and images that are left out."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy.engine import URL
from stations import Station
from typer.testing import CliRunner

from inspector.commands.cli import app
from inspector.errors import StationError, UsageError
from inspector.review.labels import label_of, run_of
from trainer.data import datasets

ROLES = {"good": "accept", "fair": "accept", "pore": "defect", "crack": "defect"}


def taught(
    verdict: str, label: str, human_verdict: str, human_label: str | None = None, without: str = ""
) -> str | None:
    """Return the class that this image teaches; the artifact lacks the class ``without``."""
    row = SimpleNamespace(verdict=verdict, label=label, human_verdict=human_verdict, human_label=human_label)
    return label_of(row, {name: role for name, role in ROLES.items() if name != without})


def test_the_label_is_what_the_person_said_or_agreed_to() -> None:
    """A class that the person named wins, else the station's if they agreed; else there is no label."""
    assert taught("FAIL", "pore", "FAIL", "crack") == "crack"
    assert taught("FAIL", "pore", "FAIL", "undercut") == "undercut", "a class that the artifact lacks"
    assert taught("FAIL", "pore", "FAIL") == "pore"
    assert taught("PASS", "good", "PASS") == "good"
    assert taught("REVIEW", "fair", "PASS") == "fair"
    assert taught("FAIL", "pore", "PASS") is None, "there are two accepted classes"
    assert taught("FAIL", "pore", "PASS", without="fair") == "good"
    assert taught("PASS", "good", "FAIL") is None, "the person did not name the defect"
    assert taught("REVIEW", "pore", "FAIL") is None
    assert taught("FAIL", "pore", "REVIEW", "crack") is None, "the person could not decide"


def test_the_run_keeps_near_copies_together() -> None:
    """Frames of one pass over a seam are one run, with any names; frames without a part share their day."""
    row = {
        "station_id": 1,
        "camera": "c",
        "part": "a\nb",
        "seam": None,
        "pass_no": 2,
        "local_day": "2026-01-05",
    }
    assert run_of(SimpleNamespace(**row)) == "station 1 c a b pass 2"
    assert run_of(SimpleNamespace(**row | {"part": None, "pass_no": None})) == "station 1 2026-01-05"


@pytest.fixture
def station(tmp_path: Path, tiny: Path, url: URL) -> Station:
    """Provide a station whose network passes everything, with six inspected images of two parts."""
    station = Station(
        tmp_path,
        tiny,
        url,
        thresholds={"accept": 0, "defect": 1},
        name_pattern=r"(?P<part>[^_]+)_(?P<seam>\d+)_",
    )
    for n in range(6):
        station.put(f"it's; P{n % 2}_{n // 4}_{n}.png", seed=n)
    assert station.once()["inspected"] == 6
    return station


@pytest.fixture
def weld_inspect(station: Station) -> Callable[..., Any]:
    """Provide a function that runs a command at the station; it returns the run, or raises the error."""

    def run(*words: object) -> Any:
        done = CliRunner().invoke(app, [*map(str, words), "--config", str(station.config)])
        if isinstance(done.exception, StationError):
            raise done.exception
        assert done.exit_code == 0, done.output
        return done

    return run


def numbers(station: Station) -> dict[str, tuple[int, str]]:
    """Return inspection and archive path by the number in the file's name."""
    found = station.rows("SELECT source_name, id, archive_path FROM inspection")
    return {name.rpartition("_")[2].removesuffix(".png"): (number, path) for name, number, path in found}


def test_the_trainer_reads_what_was_exported(
    station: Station, weld_inspect: Callable[..., Any], tmp_path: Path
) -> None:
    """Each reviewed image is exported with its class, run and bytes; the archive does not change."""
    by_name, before = numbers(station), station.files(station.archive)
    labels = {"0": "good weld", "1": "burn through", "3": "contamination", "4": 'a "new"; class'}
    for name, label in labels.items():
        verdict = "PASS" if label == "good weld" else "FAIL"
        weld_inspect("review", "set", by_name[name][0], "--verdict", verdict, "--label", label, "--new-class")
    weld_inspect("review", "set", by_name["5"][0], "--verdict", "REVIEW")
    weld_inspect("review", "set", by_name["0"][0], "--verdict", "FAIL", "--label", "contamination")
    out = tmp_path / "set"
    figures = json.loads(weld_inspect("export", "--out", out, "--json").stdout)
    assert figures == {
        "exported": 4,
        "unchanged": 0,
        "relabelled": 0,
        "withdrawn": 0,
        "repeated": 0,
        "undecided": 1,
        "unlabelled": 0,
        "limited": 0,
        "missing": 0,
        "changed": 0,
    }
    listing = datasets.read(out)
    assert not listing.problems
    found = {int(frame.path.name.partition("-")[0]): frame for frame in listing.frames}
    for name, label in (labels | {"0": "contamination"}).items():  # the latest verdict counts
        number, path = by_name[name]
        assert listing.classes[found[number].label] == label
        assert found[number].path.read_bytes() == (station.archive / path).read_bytes()
        assert found[number].run == f"station 1 it's; P{int(name) % 2} {int(name) // 4} pass 1"
    assert len(found) == 4
    assert station.files(station.archive) == before
    assert not list(tmp_path.glob(".set*")), "no unfinished folder is left"


def test_changed_and_missing_files_are_left_out_and_named(
    station: Station, weld_inspect: Callable[..., Any], tmp_path: Path
) -> None:
    """Changed and missing files are reported and left out; the others are exported."""
    by_name = numbers(station)
    for number, _ in by_name.values():
        weld_inspect("review", "set", number, "--verdict", "PASS", "--label", "good weld")
    (station.archive / by_name["0"][1]).write_bytes(b"other")
    (station.archive / by_name["1"][1]).unlink()
    done = weld_inspect("export", "--out", tmp_path / "set", "--json", "--part", "it's; P0")
    assert json.loads(done.stdout)["changed"] == 1
    done = weld_inspect("export", "--out", tmp_path / "all", "--json")
    figures = json.loads(done.stdout)
    assert (figures["exported"], figures["missing"], figures["changed"]) == (4, 1, 1)
    lines = [line for line in done.stderr.splitlines() if line.startswith("left out: ")]
    assert len(lines) == 2
    assert {path for _, path in (by_name["0"], by_name["1"])} == {
        path for _, path in by_name.values() if any(path in line for line in lines)
    }


def test_the_same_bytes_are_one_file(
    station: Station, weld_inspect: Callable[..., Any], tmp_path: Path
) -> None:
    """An image with two names and two reviews is exported once, with the latest verdict."""
    station.put("it's; P9_1_100.png", seed=0)
    station.once()
    by_name = numbers(station)
    for name, label in (("0", "burn through"), ("100", "contamination")):
        weld_inspect("review", "set", by_name[name][0], "--verdict", "FAIL", "--label", label)
    figures = json.loads(weld_inspect("export", "--out", tmp_path / "set", "--json").stdout)
    assert (figures["exported"], figures["repeated"]) == (1, 1)
    with (tmp_path / "set" / "labels.csv").open(newline="") as stream:
        assert [row["label"] for row in csv.DictReader(stream)] == ["contamination"]


def test_an_export_is_whole_or_not_there(
    station: Station, weld_inspect: Callable[..., Any], tmp_path: Path
) -> None:
    """If there is nothing to export or the folder is not usable, one line says so and no folder is made."""
    with pytest.raises(UsageError, match="no data: no image with a known class to export"):
        weld_inspect("export", "--out", tmp_path / "set")
    weld_inspect("review", "set", 1, "--verdict", "PASS", "--label", "good weld")
    with pytest.raises(UsageError, match="no data"):
        weld_inspect("export", "--out", tmp_path / "set", "--until", "2020-01-01")
    with pytest.raises(UsageError, match="exists already; name a new folder"):
        weld_inspect("export", "--out", station.archive)
    with pytest.raises(StationError, match="cannot be written"):
        weld_inspect("export", "--out", station.config / "set")
    assert not list(tmp_path.glob("*set*"))
    (tmp_path / "empty").mkdir()
    weld_inspect("export", "--out", tmp_path / "empty")
    assert len(datasets.read(tmp_path / "empty").frames) == 1
