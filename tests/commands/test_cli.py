"""The commands: their output, their exit status, and one clear line for each mistake."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from sqlalchemy.engine import URL
from stations import Station
from waiting import HANG_S

from inspector import resources
from inspector.commands.cli import main
from inspector.network.metadata import METADATA_FILE


@pytest.fixture
def station(tmp_path: Path, tiny: Path, url_of: Callable[[str], URL]) -> Station:
    """A station on SQLite with three images inspected and one quarantined."""
    station = Station(tmp_path, tiny, url_of("sqlite"))
    for n in range(3):
        station.put(f"w{n}.png", seed=n)
    (station.drop / "bad.png").write_text("no picture")
    return station


@pytest.fixture
def weld_inspect(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Run a command as the entry point does; return exit status, stdout and stderr."""

    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["weld-inspect", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        code = ended.value.code
        return code if isinstance(code, int) else 0, out, err

    return run


def refused(outcome: tuple[int, str, str]) -> str:
    """The one line of a refusal with status 2."""
    status, out, err = outcome
    lines = [line for line in err.splitlines() if not line.startswith("INFO ")]
    assert status == 2
    assert out == ""
    assert len(lines) == 1, err
    return lines[0]


def test_help_loads_nothing_heavy():
    """--help is instant: it imports neither torch nor SQLAlchemy, PIL or numpy."""
    program = (
        "import sys; from inspector.commands.cli import app\n"
        "try: app(['--help'])\n"
        "except SystemExit: pass\n"
        "sys.exit(bool({'torch', 'sqlalchemy', 'PIL', 'numpy'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, check=False).returncode == 0


def test_once_prints_one_json_object(station: Station, weld_inspect, caplog):
    """With --json, stdout is exactly one object with the documented fields, and the log goes to stderr."""
    status, out, _ = weld_inspect("once", "--json", "--config", station.config)
    figures = json.loads(out)
    assert status == 0
    assert list(figures) == [
        "seen",
        "inspected",
        "duplicates",
        "quarantined",
        "pending",
        "seconds",
        "images_per_second",
    ]
    assert (figures["seen"], figures["inspected"], figures["quarantined"]) == (4, 3, 1)
    assert "bad.png: not_an_image" in caplog.text


def test_a_terminal_shows_each_image(station: Station):
    """In a terminal each image has a line with name, verdict, class and probability; a log has the first one.

    The first line also says where the image is.
    """
    program = [sys.executable, "-c", "from inspector.commands.cli import main; main()"]
    ours, theirs = pty.openpty()
    with os.fdopen(ours, "rb", buffering=0) as terminal:
        words = [*program, "once", "--json", "--config", str(station.config)]
        done = subprocess.run(words, stdout=subprocess.PIPE, stderr=theirs, timeout=HANG_S, check=True)
        shown = terminal.read(1 << 16).decode()
        os.close(theirs)
    assert json.loads(done.stdout)["inspected"] == 3
    rows = station.rows("SELECT * FROM inspection ORDER BY id")
    for number, row in enumerate(rows):
        verdict = f"{row.verdict} ({row.reason})" if row.reason else row.verdict
        where = "" if number else f", now at {station.archive / row.archive_path}"
        assert f"{row.source_name}: {verdict}, {row.label} {row.confidence:.2f}{where}\r\n" in shown
    station.put("again.png", seed=9)
    station.put("more.png", seed=10)
    in_log = [line for line in station.command("once").stderr.splitlines() if ".png" in line]
    assert len(in_log) == 1
    assert ", now at " in in_log[0]


def test_a_report_as_table_csv_and_json(station: Station, weld_inspect):
    """The same rows come as a table for people, as CSV, and as one JSON object."""
    station.once()
    for form in ("table", "csv", "json"):
        status, out, _ = weld_inspect("report", "summary", "--format", form, "--config", station.config)
        assert status == 0
        if form == "csv":
            row = next(csv.DictReader(io.StringIO(out)))
            assert (row["station"], row["n"], row["quarantined"]) == ("cell-1", "3", "1")
        elif form == "json":
            assert json.loads(out)["rows"][0]["n"] == 3
        else:
            assert "cell-1" in out


def test_report_without_a_name_lists_them(station: Station, weld_inspect):
    """The list shows each report with its question."""
    status, out, _ = weld_inspect("report", "--config", station.config)
    assert status == 0
    assert {"summary", "by_class", "latency", "reconcile"} <= {line.split()[0] for line in out.splitlines()}


def test_options_may_come_before_a_reports_name(station: Station, weld_inspect):
    """Options may come before the name of a report, and the list of reports takes options too."""
    station.once()
    after = weld_inspect("report", "summary", "--format", "csv", "--config", station.config)
    assert weld_inspect("report", "--config", station.config, "--format", "csv", "summary") == after
    assert weld_inspect("report", "--config", station.config, "--format", "csv")[0] == 0


def test_a_table_ends_with_the_version(station: Station, weld_inspect):
    """A table for people names the program's version in its last line; CSV and JSON are for programs."""
    station.once()
    last = f"weldnet-station {resources.version()}"
    for form, has_it in (("table", True), ("csv", False), ("json", False)):
        _, out, _ = weld_inspect("report", "summary", "--format", form, "--config", station.config)
        assert (out.splitlines()[-1] == last) is has_it


def test_days_are_whole_ones_up_to_the_last_midnight(station: Station, weld_inspect):
    """``report NAME --days`` is the period of ``report html --days``: today's images are not in it."""
    station.once()
    words = ("report", "summary", "--format", "json", "--config", station.config)
    report = json.loads(weld_inspect(*words, "--days", "2")[1])
    since, until = (date.fromisoformat(report["period"][end]) for end in ("since", "until"))
    assert (until - since).days == 2
    assert (datetime.now(UTC).date() - until).days in (0, 1)  # midnight may come between
    assert not any(row["n"] for row in report["rows"])
    assert "leave it or them out" in refused(weld_inspect(*words, "--days", "2", "--since", "2026-01-01"))


@pytest.mark.parametrize("page", ["html", "contact"])
def test_report_html_and_contact_are_commands_of_their_own(weld_inspect, page: str):
    """Their help and their errors name the whole command, with its own options."""
    status, out, _ = weld_inspect("report", page, "--help")
    assert status == 0
    assert f"weld-inspect report {page} [OPTIONS]\n" in out
    assert "--out" in out
    assert "--out" not in weld_inspect("report", "--help")[1]
    status, out, err = weld_inspect("report", page)
    assert (status, out) == (2, "")
    assert f"weld-inspect report {page} --help'" in err


def test_reconcile_fails_where_a_file_is_missing(station: Station, weld_inspect):
    """An archived file that somebody deleted is named and counted, and the status is 1."""
    station.once()
    gone = station.archive / next(iter(station.files(station.archive)))
    gone.unlink()
    status, out, err = weld_inspect("reconcile", "--json", "--config", station.config)
    assert status == 1
    assert json.loads(out)["unaccounted"] == 1
    assert gone.name in err


def test_check_finds_nothing_wrong_with_a_right_station(station: Station, weld_inspect):
    """On a working station no finding is wrong; what this machine lacks is only a note."""
    status, out, _ = weld_inspect("check", "--config", station.config)
    assert status == 0
    assert {line.split()[0] for line in out.splitlines()} <= {"ok", "note"}


def test_check_finds_every_mistake_at_once(tmp_path: Path, url_of: Callable[[str], URL], weld_inspect):
    """Artifact, database and folders are all checked, even if an earlier one was wrong."""
    artifact = tmp_path / "none.pt"
    station = Station(tmp_path, artifact, url_of("sqlite", migrated=False))
    station.archive.write_text("a file where a folder belongs")
    status, out, _ = weld_inspect("check", "--config", station.config)
    assert status == 2
    wrong = [line.split()[1] for line in out.splitlines() if line.startswith("WRONG")]
    assert wrong == ["folders", "artifact", "database"]


def _no_archive(path: Path, good: Path) -> None:
    path.write_bytes(b"not an archive")


def _truncated(path: Path, good: Path) -> None:
    path.write_bytes(good.read_bytes()[:-1000])


def _no_metadata(path: Path, good: Path) -> None:
    path.write_bytes(good.read_bytes().replace(METADATA_FILE.encode(), b"metadata.jsox"))


@pytest.mark.parametrize("spoil", [None, _no_archive, _truncated, _no_metadata])
@pytest.mark.parametrize("command", ["run", "once"])
def test_a_file_that_is_no_artifact_is_refused(
    tmp_path: Path, tiny: Path, url_of, weld_inspect, command: str, spoil: Callable[[Path, Path], None] | None
):
    """A missing, damaged or foreign artifact is one line with its path and status 2."""
    artifact = tmp_path / "spoilt.pt"
    if spoil:
        spoil(artifact, tiny)
    station = Station(tmp_path, artifact, url_of("sqlite"))
    station.put("w.png", seed=1)
    assert str(artifact) in refused(weld_inspect(command, "--config", station.config))
    assert station.files(station.drop) == {"w.png"}


def test_another_artifact_than_the_configured_one_is_refused(
    tmp_path: Path, tiny: Path, url_of, weld_inspect
):
    """If a hash is configured, any other file is refused."""
    station = Station(tmp_path, tiny, url_of("sqlite"), artifact_sha256="0" * 64)
    assert "artifact_sha256" in refused(weld_inspect("once", "--config", station.config))


def test_a_missing_schema_is_refused_with_the_command_that_makes_it(
    tmp_path: Path, tiny: Path, url_of, weld_inspect
):
    """A database without a schema is never written to; the line names the command to run."""
    station = Station(tmp_path, tiny, url_of("sqlite", migrated=False))
    assert "weld-inspect migrate" in refused(weld_inspect("once", "--config", station.config))
    assert weld_inspect("migrate", "--config", station.config)[0] == 0
    assert weld_inspect("once", "--config", station.config)[0] == 0


def test_folders_that_cannot_be_used_are_refused(station: Station, weld_inspect):
    """A file in place of the archive folder and a missing drop folder are one line with status 2."""
    station.archive.write_text("a file where a folder belongs")
    assert "archive_folder" in refused(weld_inspect("once", "--config", station.config))
    station.archive.unlink()
    station.drop.rename(station.folder / "elsewhere")
    assert "drop_folder" in refused(weld_inspect("once", "--config", station.config))


def test_a_threshold_for_an_unknown_class_is_refused(tmp_path: Path, tiny: Path, url_of, weld_inspect):
    """A threshold for an unknown class is an error that lists the classes: a typo would do nothing."""
    station = Station(tmp_path, tiny, url_of("sqlite"), thresholds={"burnthrough": 0.3})
    assert "burn through" in refused(weld_inspect("once", "--config", station.config))
