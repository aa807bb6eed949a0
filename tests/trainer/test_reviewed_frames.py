"""The way of a verdict into the next network: export, join, train from the student in force, compare."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

from ledger_samples import SECOND_US, START_US, inspected
from sqlalchemy.engine import make_url
from stations import Station
from tiny_runs import epochs, only_json, read_csv, weld_train, write_recipe
from trainer_samples import CLASSES, class_folders, write_picture
from typer.testing import CliRunner

from inspector.commands.cli import app
from inspector.ledger.store import Store, migrate
from inspector.records import Review, Verdict

ROLES = [{"name": name, "role": "accept" if name == "good" else "defect"} for name in CLASSES]
FRAMES = 12  # on four seams; every second one shows a good weld


def reviewed_station(folder: Path) -> Station:
    """Return a station that judged every frame GOOD, and whose defects a person has named."""
    station = Station(folder, folder / "none.pt", make_url(f"sqlite:///{folder}/quality.db"))
    migrate(station.url)
    with Store.open(station.url, "cell-1", seam_gap_s=300) as store:
        in_force = store.in_force(
            metadata=json.dumps({"classes": ROLES}),
            artifact_sha256="0" * 64,
            name="weldnet",
            version="1",
            settings_json="{}",
        )
        for n in range(FRAMES):
            picture = write_picture(station.archive / f"{n}.png", n % 2, 700 + n)
            item = inspected(
                picture.name,
                label="good",
                part="P1",
                seam=f"s{n // 3}",
                seen_us=START_US + n * SECOND_US,
                path=picture.name,
            )
            digest = hashlib.sha256(picture.read_bytes()).hexdigest()
            store.record([replace(item, source=replace(item.source, sha256=digest))], in_force)
        said = [(Verdict.FAIL, "bad"), (Verdict.PASS, "good")]
        store.record_reviews([Review(n + 1, "ann", *said[n % 2], None) for n in range(FRAMES)])
    return station


def test_a_persons_verdicts_reach_the_next_network(tmp_path: Path) -> None:
    """Exported verdicts train a network from the one in force, and both are compared on new frames."""
    (tmp_path / "station").mkdir()
    station = reviewed_station(tmp_path / "station")
    command = ["export", "--out", str(tmp_path / "reviewed"), "--config", str(station.config)]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output

    recipe = write_recipe(tmp_path / "tiny.yaml", **epochs(1), ensemble={"teachers": 1})
    old, first, second = class_folders(tmp_path / "old"), tmp_path / "first", tmp_path / "second"
    assert weld_train("run", recipe, "--data", old, "--out", first)[0] == 0
    sets = ["--data", old, "--data", tmp_path / "reviewed"]
    words = [*sets, "--out", second, "--start", first / "student.pt", "--json"]
    status, stdout, stderr = weld_train("run", recipe, *words)
    assert status == 0, stderr
    result = only_json(stdout)
    assert result["n"] + result["n_train"] == 12 + FRAMES

    rows = {
        part: [row for row in read_csv(second / "split.csv") if row["part"] == part]
        for part in ("train", "valid")
    }
    assert not {row["run"] for row in rows["train"]} & {row["run"] for row in rows["valid"]}
    learnt = {f"old/{row['path']}" for row in read_csv(first / "split.csv") if row["part"] == "train"}
    assert learnt <= {row["path"] for row in rows["train"]}, "the start learnt from them"
    assert any(row["path"].startswith("reviewed/") for row in rows["train"])

    compared = only_json(
        weld_train("compare", first / "weldnet.pt", second / "weldnet.pt", *sets, "--json")[1]
    )
    assert (compared["n"], compared["learnt_from"]) == (len(rows["valid"]), len(rows["train"]))
