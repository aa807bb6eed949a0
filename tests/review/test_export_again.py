"""Exports that grow: added images, changed verdicts, final verdicts, and limits against near-copies."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ledger_samples import SECOND_US, START_US, inspected, sha
from sqlalchemy.engine import URL
from stations import Station
from typer.testing import CliRunner
from verdict_samples import force

from inspector.commands.cli import app
from inspector.errors import StationError, UsageError
from inspector.ledger.store import Store
from inspector.locks import export_lock
from inspector.records import Inspected, Review, Verdict
from inspector.review.export import Selection
from inspector.review.export import export as run_export
from inspector.review.labels import Taught, limited

FRAMES = 6  # of each seam: on the first the station says PASS, on the second FAIL, on the third REVIEW
SAID = {
    "s0": (Verdict.PASS, "good weld"),
    "s1": (Verdict.FAIL, "burn through"),
    "s2": (Verdict.REVIEW, "good weld"),
}


@pytest.fixture
def station(tmp_path: Path, url: URL, store: Store) -> Station:
    """Provide a station with three seams of judged images, and their files in the archive."""
    station = Station(tmp_path, tmp_path / "none.pt", url)
    items = [image(n) for n in range(3 * FRAMES)]
    store.record(items, force(store))
    for item in items:
        path = station.archive / item.final_path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(item.arrival.source_name)
    return station


def image(n: int) -> Inspected:
    """Return image ``n``, a second after the one before it."""
    seam = f"s{n // FRAMES}"
    verdict, label = SAID[seam]
    at = START_US + n * SECOND_US
    return inspected(f"{n}.png", verdict=verdict, label=label, part="P1", seam=seam, seen_us=at)


@pytest.fixture
def export(station: Station, tmp_path: Path) -> Callable[..., dict[str, int]]:
    """Provide a function that exports to the folder ``set``, and returns the counts that are not zero."""

    def run(*words: object) -> dict[str, int]:
        command = ["export", "--out", str(tmp_path / "set"), "--json", *map(str, words)]
        done = CliRunner().invoke(app, [*command, "--config", str(station.config)])
        if isinstance(done.exception, StationError):
            raise done.exception
        assert done.exit_code == 0, done.output
        (tmp_path / "lines").write_text(done.stderr)
        return {name: count for name, count in json.loads(done.stdout).items() if count}

    return run


def say(store: Store, n: int, verdict: Verdict, label: str | None = None) -> None:
    """Record a person's verdict on image ``n``."""
    store.record_reviews([Review(n + 1, "ann", verdict, label, None)])


def table(folder: Path) -> dict[str, dict[str, str]]:
    """Return the rows of the exported table, by the content of their images."""
    with (folder / "labels.csv").open(encoding="utf-8-sig", newline="") as stream:
        return {(folder / row["path"]).read_text(): row for row in csv.DictReader(stream)}


def test_an_export_grows_and_follows_changed_verdicts(
    store: Store, export: Callable[..., dict[str, int]], tmp_path: Path
) -> None:
    """--add copies new images only, gives changed labels with their time, and drops undecided ones."""
    say(store, 0, Verdict.PASS)
    say(store, 6, Verdict.FAIL, "burn through")
    say(store, 7, Verdict.FAIL)
    assert export() == {"exported": 3}
    first = table(tmp_path / "set")
    row = first["6.png"]
    assert {name: row[name] for name in ("label", "run", "part", "seam", "sha256")} == {
        "label": "burn through",
        "run": "station 1 P1 s1 pass 1",
        "part": "P1",
        "seam": "s1",
        "sha256": sha("6.png"),
    }
    with pytest.raises(UsageError, match="exists already; name a new folder, or add to an export with --add"):
        export()
    say(store, 6, Verdict.FAIL, 'a "hole"; or two')
    say(store, 7, Verdict.REVIEW)
    say(store, 13, Verdict.PASS)
    assert export("--add") == {"exported": 1, "unchanged": 1, "relabelled": 1, "withdrawn": 1, "undecided": 1}
    second = table(tmp_path / "set")
    assert {name: row["label"] for name, row in second.items()} == {
        "0.png": "good weld",
        "6.png": 'a "hole"; or two',
        "13.png": "good weld",
    }
    times = [datetime.fromisoformat(rows["6.png"]["decided"]) for rows in (first, second)]
    assert times[0] < times[1]
    lines = (tmp_path / "lines").read_text()
    assert f'{row["path"]}: was burn through, is now a "hole"; or two' in lines
    assert f"{first['7.png']['path']}: is no longer in the table: a person is undecided" in lines
    assert export("--add") == {"unchanged": 3, "undecided": 1}
    assert table(tmp_path / "set") == second


def test_a_second_export_at_once_is_refused(
    store: Store, export: Callable[..., dict[str, int]], tmp_path: Path
) -> None:
    """While an export adds to a folder, another one ends with one line; afterwards it adds its images."""
    say(store, 0, Verdict.PASS)
    export()
    before = sorted((tmp_path / "set").rglob("*"))
    say(store, 1, Verdict.PASS)
    with export_lock(tmp_path / "set"):
        with pytest.raises(
            StationError, match=r"another export \(process \d+\) adds to it; try again"
        ) as line:
            export("--add")
        assert "\n" not in str(line.value)
        assert sorted((tmp_path / "set").rglob("*")) == before
    assert export("--add") == {"exported": 1, "unchanged": 1}


def test_exports_that_add_at_once_leave_a_whole_table(
    store: Store, station: Station, export: Callable[..., dict[str, int]], tmp_path: Path
) -> None:
    """Of exports at once, each adds all of its images or is refused; each row then has its image."""
    say(store, 0, Verdict.PASS)
    export()
    for n in range(1, FRAMES):
        say(store, n, Verdict.PASS)
    say(store, 6, Verdict.FAIL, "burn through")

    def add(part: str) -> int:
        wanted = Selection("cell-1", part=part)
        try:
            return run_export(
                station.url, tmp_path / "set", wanted, archive_folder=station.archive, add=True
            ).exported
        except StationError as error:
            assert "another export" in str(error)
            return 0

    with ThreadPoolExecutor(4) as workers:
        added = sum(workers.map(add, ["P1"] * 4))
    assert added == FRAMES
    rows = table(tmp_path / "set")
    assert len(rows) == FRAMES + 1
    assert {path.read_text() for path in (tmp_path / "set" / "images").iterdir()} == set(rows)


def test_a_table_that_a_person_edited_is_kept(
    store: Store, export: Callable[..., dict[str, int]], tmp_path: Path
) -> None:
    """A label that was corrected in the table stays, also after a spreadsheet, and so does a new column."""
    say(store, 6, Verdict.FAIL, "burn through")
    export()
    path = tmp_path / "set" / "labels.csv"
    text = path.read_text(encoding="utf-8-sig").replace("burn through", "undercut").replace(",", ";")
    lines = text.splitlines()
    path.write_text(f"{lines[0]};remark\r\n{lines[1]};seen twice\r\n", encoding="utf-16")
    say(store, 0, Verdict.PASS)
    assert export("--add") == {"exported": 1, "unchanged": 1}
    rows = table(tmp_path / "set")
    assert (rows["6.png"]["label"], rows["6.png"]["remark"]) == ("undercut", "seen twice")
    assert "stays undercut as in the table, not burn through" in (tmp_path / "lines").read_text()


def test_a_table_of_an_older_export_is_recognized_by_its_images(
    store: Store, export: Callable[..., dict[str, int]], tmp_path: Path
) -> None:
    """A table of path, label and run alone is completed; the labels of people are the later ones."""
    folder = tmp_path / "set"
    (folder / "images").mkdir(parents=True)
    (folder / "images" / "1-0.png").write_text("0.png")
    (folder / "labels.csv").write_text("path,label,run\nimages/1-0.png,burn through,r\n")
    say(store, 0, Verdict.PASS)
    assert export("--add") == {"relabelled": 1}
    assert table(folder)["0.png"]["label"] == "good weld"


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "cannot be read: No such file"), ("name;class\n", "does not name path and label")],
)
def test_add_takes_only_folders_of_exports(
    store: Store, export: Callable[..., dict[str, int]], tmp_path: Path, content: str | None, words: str
) -> None:
    """A folder with other files is refused in one line and stays as it is."""
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / ("other" if content is None else "labels.csv")).write_text(content or "")
    say(store, 0, Verdict.PASS)
    before = sorted((tmp_path / "set").iterdir())
    with pytest.raises(UsageError, match=words):
        export("--add")
    assert sorted((tmp_path / "set").iterdir()) == before


def test_final_verdicts_are_the_stations_where_no_person_decided(
    store: Store, export: Callable[..., dict[str, int]], tmp_path: Path
) -> None:
    """--verdicts final adds the station's PASS and FAIL, without a time; a person's verdict wins."""
    say(store, 0, Verdict.FAIL, "burn through")
    say(store, 1, Verdict.REVIEW)
    say(store, 12, Verdict.PASS)
    assert export("--verdicts", "final") == {"exported": 2 * FRAMES + 1, "undecided": FRAMES - 1}
    rows = table(tmp_path / "set")
    assert Counter(row["label"] for row in rows.values()) == {"good weld": FRAMES, "burn through": FRAMES + 1}
    assert {name for name, row in rows.items() if row["decided"]} == {"0.png", "12.png"}
    say(store, 0, Verdict.REVIEW)
    assert export("--add", "--verdicts", "final")["relabelled"] == 1, "a person is undecided since"
    assert table(tmp_path / "set")["0.png"]["label"] == "good weld"


def test_limits_take_people_first_and_spread_over_the_seam(
    store: Store, export: Callable[..., dict[str, int]], tmp_path: Path
) -> None:
    """--per-seam and --per-class bound what the folder holds, again when images are added."""
    say(store, 1, Verdict.PASS)
    words = ("--verdicts", "final", "--per-seam", 3)
    assert export(*words) == {"exported": 6, "undecided": FRAMES, "limited": 2 * FRAMES - 6}
    seams = Counter(row["seam"] for row in table(tmp_path / "set").values())
    assert seams == {"s0": 3, "s1": 3}
    assert {"1.png", "7.png", "9.png", "11.png"} <= set(table(tmp_path / "set"))
    say(store, 12, Verdict.PASS)
    say(store, 13, Verdict.PASS)
    added = export("--add", *words, "--per-class", 4)
    assert (added["exported"], added["unchanged"]) == (1, 6)


images = st.lists(
    st.tuples(st.sampled_from("ab"), st.integers(0, 4), st.integers(0, 50), st.booleans()), max_size=60
)
limits = st.one_of(st.none(), st.integers(1, 8))


@given(images, limits, limits)
def test_no_limit_is_exceeded_and_none_is_left_unused(
    rows: list[tuple[str, int, int, bool]], per_seam: int | None, per_class: int | None
) -> None:
    """For any images, each class and each seam has as many as its limit allows, and people's images first."""
    every = [
        Taught(n, str(n), "", label, f"run {run}", "", "", at, at if person else None)
        for n, (label, run, at, person) in enumerate(rows)
    ]
    chosen = limited(every, per_seam=per_seam, per_class=per_class, there=Counter())
    assert len({each.inspection for each in chosen}) == len(chosen)
    assert chosen == limited(list(reversed(every)), per_seam=per_seam, per_class=per_class, there=Counter())
    for label in "ab":
        seams = Counter(each.run for each in every if each.label == label)
        most = sum(min(count, per_seam or count) for count in seams.values())
        assert sum(each.label == label for each in chosen) == min(most, per_class or most)
    for run in {each.run for each in every}:
        of_seam = [each for each in chosen if each.run == run]
        left = [each for each in every if each.run == run and each not in of_seam]
        for label in {each.label for each in of_seam if each.decided_us is None}:
            assert all(each.decided_us is None for each in left if each.label == label)
