"""The life of one image, found by its bytes, its path, its part or its number."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ledger_samples import inspected
from sqlalchemy.engine import URL
from stations import Station
from typer.testing import CliRunner

from inspector.commands.cli import app
from inspector.errors import StationError, UsageError
from inspector.ledger import database, schema
from inspector.ledger.store import Store
from inspector.network.metadata import read
from inspector.records import SeamReview, Verdict


@pytest.fixture
def station(tmp_path: Path, tiny: Path, url: URL) -> Station:
    """Provide a station with two images of a part, one of them delivered twice, and an unreadable file."""
    station = Station(
        tmp_path,
        tiny,
        url,
        thresholds={"accept": 0, "defect": 1},
        name_pattern=r"(?P<part>[^_]+)_(?P<seam>\d+)_",
        timezone="Europe/Berlin",
    )
    for n in range(2):
        station.put(f"it's a part_7_{n}.png", seed=n)
    (station.drop / "bad.png").write_text("no picture")
    station.once()
    station.put("it's a part_7_0.png", seed=0)
    assert station.once()["duplicates"] == 1
    return station


@pytest.fixture
def trace(station: Station) -> Callable[..., list[dict[str, Any]]]:
    """Provide a function that runs ``weld-inspect trace --json``; it returns lives or raises the error."""

    def run(*words: object) -> list[dict[str, Any]]:
        done = CliRunner().invoke(app, ["trace", *map(str, words), "--json", "--config", str(station.config)])
        if isinstance(done.exception, StationError):
            raise done.exception
        assert done.exit_code == 0, done.output
        lives: list[dict[str, Any]] = json.loads(done.stdout)["lives"]
        return lives

    return run


def archived(station: Station, name: str) -> Path:
    """Return the archived file of the first image with this name."""
    [path] = [
        row[0]
        for row in station.rows("SELECT archive_path, source_name FROM inspection")
        if row[1].endswith(name)
    ]
    return station.archive / str(path)


def states(life: dict[str, Any]) -> list[str]:
    """Return the state of each of the image's files."""
    return [file["now"] for file in life["files"]]


def test_a_life_is_whole(
    station: Station, trace: Callable[..., list[dict[str, Any]]], tiny: Path, tmp_path: Path
) -> None:
    """A renamed copy finds the image's life: hash, times, artifact and record, settings, verdicts."""
    [(number, digest)] = station.rows(
        "SELECT id, sha256 FROM inspection WHERE source_name LIKE '%0.png' ORDER BY id"
    )
    said = ["review", "set", str(number), "--verdict", "FAIL", "--label", "burn through"]
    for extra in (["--reviewer", "ann", "--note", "at the\nedge"], ["--reviewer", "bob"]):
        assert CliRunner().invoke(app, [*said, *extra, "--config", str(station.config)]).exit_code == 0
    sample = ["review", "sample", "--seed", "3", "--config", str(station.config)]
    assert CliRunner().invoke(app, sample).exit_code == 0
    copy = tmp_path / "sent by mail.png"
    shutil.copy(archived(station, "_0.png"), copy)
    [life] = trace(copy)
    assert (
        life["inspection"] | {"id": number, "sha256": digest, "part": "it's a part", "seam": "7"}
        == (life["inspection"])
    )
    assert life["times"]["seen"].endswith(("+01:00", "+02:00"))
    assert life["times"]["batch_size"] >= 1
    assert life["station_said"]["verdict"] == "PASS"
    assert life["training_record"] == json.loads(read(tiny).to_json())
    assert life["artifact"]["name"] == "tiny"
    assert life["thresholds"]["accept"] == 0
    assert life["settings"]["name_pattern"]
    assert [(r["reviewer"], r["verdict"], r["label"], r["note"]) for r in life["reviews"]] == [
        ("ann", "FAIL", "burn through", "at the\nedge"),
        ("bob", "FAIL", "burn through", None),
    ]
    assert life["final_verdict"] == {"verdict": "FAIL"}
    assert life["seam_reviews"] == []
    with Store.open(station.url, "cell-1", seam_gap_s=300) as store:
        store.record_reviews([SeamReview(number, "chief", Verdict.PASS, "ground flat")])
    [again] = trace(copy)
    [on_seam] = again["seam_reviews"]
    assert (on_seam["reviewer"], on_seam["verdict"], on_seam["note"]) == ("chief", "PASS", "ground flat")
    [drawn] = life["audit_samples"]
    assert (drawn["seed"], drawn["population"]) == (3, 2)
    assert states(life) == ["is there, its bytes match"] * 2
    assert [file["outcome"] for file in life["files"]] == ["inspected", "duplicate"]


def test_a_file_that_was_tampered_with_is_found_by_its_place(
    station: Station, trace: Callable[..., list[dict[str, Any]]]
) -> None:
    """Changed bytes in the archive are reported, and so is a missing file."""
    path = archived(station, "_1.png")
    path.write_bytes(path.read_bytes() + b"\0")
    [life] = trace(path)
    assert life["inspection"]["source_name"] == "it's a part_7_1.png"
    assert states(life) == ["is there, but its BYTES HAVE CHANGED"]
    path.unlink()
    [life] = trace("--id", life["inspection"]["id"])
    assert states(life) == ["MISSING"]


def test_a_pruned_file_is_no_missing_one(
    station: Station, trace: Callable[..., list[dict[str, Any]]], url: URL
) -> None:
    """A file that retention removed is shown as pruned, and its life stays."""
    path = archived(station, "_1.png")
    path.unlink()
    engine = database.immediate(database.engine(url))
    with database.transaction(engine) as connection:
        table = schema.arrival
        query = table.select().where(table.c.path == str(path.relative_to(station.archive)))
        row = dict(connection.execute(query).mappings().one())
        del row["id"]
        connection.execute(table.insert(), row | {"outcome": "pruned", "recorded_us": row["recorded_us"] + 1})
    engine.dispose()
    [life] = [a for a in trace("--part", "it's a part") if a["inspection"]["source_name"].endswith("_1.png")]
    assert states(life) == ["pruned"]


def test_a_recorded_file_may_still_wait(station: Station, trace: Callable[..., list[dict[str, Any]]]) -> None:
    """A file that a crash left in the drop folder after its commit is shown there, not as missing."""
    archived(station, "_1.png").rename(station.drop / "it's a part_7_1.png")
    [life] = trace(station.drop / "it's a part_7_1.png")
    assert states(life) == ["waits in the drop folder to be moved"]


def test_a_part_is_all_its_images(
    station: Station, trace: Callable[..., list[dict[str, Any]]], url: URL
) -> None:
    """Each image of the part has its life; files of another station are not searched on this machine."""
    with Store.open(url, "elsewhere", seam_gap_s=300) as store:
        force = store.in_force(
            metadata=json.dumps({"classes": []}),
            artifact_sha256="0" * 64,
            name="n",
            version="1",
            settings_json="{}",
        )
        store.record([inspected("far.png", part="it's a part")], force)
    lives = trace("--part", "it's a part")
    assert {life["inspection"]["station"] for life in lives} == {"cell-1", "elsewhere"}
    assert len(lives) == 3
    [far] = [life for life in lives if life["inspection"]["station"] == "elsewhere"]
    assert states(far) == ["at station elsewhere: look there"]


def test_an_unreadable_file_has_a_life_too(
    station: Station, trace: Callable[..., list[dict[str, Any]]]
) -> None:
    """A quarantined file is found by its bytes and by its path, with the reason."""
    [name] = station.files(station.quarantine)
    [life] = trace(station.quarantine / name)
    assert life["quarantine"]["reason"] == "not_an_image"
    assert states(life) == ["is there, its bytes match"]


def test_an_unknown_image_is_one_line(trace: Callable[..., list[dict[str, Any]]]) -> None:
    """No selector, two of them, or an unknown number, part or file gives one clear line."""
    cases: list[tuple[tuple[object, ...], str]] = [
        ((), "give an image file, or --part, or --id, and only one of them"),
        (("--part", "P", "--id", 1), "only one of them"),
        (("--id", 99), "no data: the database knows no image of inspection 99"),
        (("--part", "' OR 1=1"), "no data: the database knows no image of part"),
        (("/nowhere/x.png",), "/nowhere/x.png: cannot be read: No such file"),
        (("/proc/self/status",), "no data: the database knows no image of /proc/self/status"),
    ]
    for words, message in cases:
        with pytest.raises(UsageError, match=message):
            trace(*words)


def test_people_read_it_as_lines(station: Station) -> None:
    """Without --json each subject is one line that begins with its name, with odd text escaped."""
    said = ["review", "set", "1", "--verdict", "PASS", "--note", "two\nlines", "--reviewer", "ann"]
    for words in (said, ["trace", "--id", "1"]):
        done = CliRunner().invoke(app, [*words, "--config", str(station.config)])
        assert done.exit_code == 0
    lines = done.stdout.splitlines()
    assert [line[:16].strip() for line in lines if line[:16].strip()] == [
        "inspection",
        "times",
        "station said",
        "artifact",
        "training record",
        "thresholds",
        "settings",
        "reviews",
        "final verdict",
        "seam reviews",
        "audit samples",
        "rejudgements",
        "files",
    ]
    assert r"note 'two\nlines'" in done.stdout


def test_a_file_with_any_name_is_found_by_its_path(
    tmp_path: Path, tiny: Path, url_of: Callable[[str], URL]
) -> None:
    """A percent sign is escaped once, on the way into the archive, and not again when a file is looked up."""
    station = Station(tmp_path, tiny, url_of("sqlite"))
    station.put("weld 50% größer.png", seed=1)
    (station.drop / "bad 10%.png").write_text("no picture")
    station.once()
    for folder, kind in ((station.archive, "inspection"), (station.quarantine, "quarantine")):
        [path] = station.files(folder)
        assert "%25" in path
        (folder / path).write_bytes(b"other bytes")
        done = CliRunner().invoke(
            app, ["trace", str(folder / path), "--json", "--config", str(station.config)]
        )
        assert done.exit_code == 0, done.exception
        [life] = json.loads(done.stdout)["lives"]
        assert kind in life
        (folder / path).rename(folder / "50%25.png")
    done = CliRunner().invoke(app, ["reconcile", "--config", str(station.config)])
    assert f"unaccounted: {station.archive / '50%25.png'}: the ledger knows no such file" in done.stderr
