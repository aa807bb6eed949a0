"""Retention: which files are removed and which stay, also after a kill and beside a working daemon."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from managers import running, wait_until
from shelves import Shelf, figures, killed, say
from sqlalchemy.engine import URL
from stations import Station
from waiting import HANG_S

from inspector.errors import StationError, UsageError
from inspector.locks import upkeep_lock
from inspector.records import Verdict

EVERYTHING = (
    "--older-than",
    "0",
    "--verdict",
    "PASS",
    "--verdict",
    "FAIL",
    "--verdict",
    "REVIEW",
    "--unreviewed",
)


@pytest.fixture
def shelf(tmp_path: Path, url: URL) -> Shelf:
    """Provide a station with inspected files, on each back end."""
    return Shelf(tmp_path, url)


def test_without_delete_nothing_goes(shelf: Shelf) -> None:
    """By default prune only counts, says so, and changes neither disk nor ledger."""
    for n in range(3):
        shelf.image(f"{n}.png")
    done = say(shelf, "prune", "--trust-clock", "--older-than", "30")
    assert (done.exit_code, "dry run: nothing was removed" in done.stderr) == (0, True)
    assert figures(shelf, "prune", "--trust-clock", "--older-than", "30")["pruned"] == 3
    assert len(shelf.files(shelf.archive)) == 3
    assert shelf.rows("SELECT 1 FROM arrival WHERE outcome = 'pruned'") == []
    assert shelf.rows("SELECT 1 FROM event") == []


def test_old_pass_images_go_and_their_rows_stay(shelf: Shelf) -> None:
    """With --delete old files are removed with a row each; reconcile, trace and an event report it."""
    number = shelf.image("old.png", days=31)
    shelf.image("young.png", days=29)
    dry = figures(shelf, "prune", "--trust-clock", "--older-than", "30")
    done = figures(shelf, "prune", "--trust-clock", "--older-than", "30", "--delete")
    assert dry == done | {"dry_run": True}
    assert (done["pruned"], done["bytes"], done["kept_young"]) == (1, len("old.png"), 1)
    assert shelf.files(shelf.archive) == {"2026-01-05/PASS/young.png"}
    gone = shelf.rows("SELECT inspection_id, path FROM arrival WHERE outcome = 'pruned'")
    assert [tuple(row) for row in gone] == [(number, "2026-01-05/PASS/old.png")]
    assert shelf.reconcile() | {"unaccounted": 0, "seen": 2} == shelf.reconcile()
    [life] = figures(shelf, "trace", "--id", str(number))["lives"]
    assert [file["now"] for file in life["files"]] == ["pruned"]
    assert [row.detail for row in shelf.rows("SELECT detail FROM event")] == ["1 files, 7 bytes"]
    assert figures(shelf, "prune", "--trust-clock", "--older-than", "30", "--delete")["pruned"] == 0


def test_verdicts_are_those_that_count(shelf: Shelf) -> None:
    """A person's verdict replaces the station's: an image that they failed is no PASS, and vice versa."""
    shelf.image("passed.png")
    for name, station_said, person_said in (
        ("escape", Verdict.PASS, Verdict.FAIL),
        ("overkill", Verdict.FAIL, Verdict.PASS),
        ("failed", Verdict.FAIL, Verdict.FAIL),
    ):
        shelf.review(shelf.image(f"{name}.png", station_said), person_said)
    assert figures(shelf, "prune", "--trust-clock", "--older-than", "1", "--delete")["pruned"] == 2
    assert {Path(file).stem for file in shelf.files(shelf.archive)} == {"escape", "failed"}
    assert (
        figures(shelf, "prune", "--trust-clock", "--older-than", "1", "--verdict", "fail", "--delete")[
            "pruned"
        ]
        == 2
    )
    assert shelf.reconcile()["unaccounted"] == 0


def test_images_that_wait_for_a_person_stay_by_default(shelf: Shelf) -> None:
    """FAIL, REVIEW and audit samples without a decision stay, with any choice of verdicts."""
    for name, verdict in (("f", Verdict.FAIL), ("r", Verdict.REVIEW), ("p", Verdict.PASS)):
        shelf.image(f"{name}.png", verdict)
    undecided = shelf.image("u.png", Verdict.FAIL)
    shelf.review(undecided, Verdict.REVIEW)
    assert say(shelf, "review", "sample", "--count", "1").exit_code == 0
    wanted = [word for word in EVERYTHING if word != "--unreviewed"]
    kept = figures(shelf, "prune", *wanted, "--delete")
    assert (kept["pruned"], kept["kept_unreviewed"]) == (0, 4)
    assert len(shelf.files(shelf.archive)) == 4
    assert figures(shelf, "prune", *EVERYTHING, "--delete")["pruned"] == 4
    assert shelf.files(shelf.archive) == set()
    assert shelf.reconcile()["unaccounted"] == 0


def test_quarantined_files_stay_by_default(shelf: Shelf) -> None:
    """Unreadable files are removed only with --quarantined, by their age, with a row each."""
    shelf.unreadable("old.png")
    shelf.unreadable("young.png", days=1)
    assert figures(shelf, "prune", *EVERYTHING, "--delete")["pruned"] == 0
    command = ("prune", "--trust-clock", "--older-than", "30", "--quarantined", "--delete")
    done = figures(shelf, *command)
    assert (done["pruned"], done["kept_young"]) == (1, 1)
    assert shelf.files(shelf.quarantine) == {"2026-01-05/truncated/young.png"}
    assert shelf.reconcile() | {"unaccounted": 0, "quarantined": 2} == shelf.reconcile()


def test_an_image_without_its_row_never_goes(shelf: Shelf) -> None:
    """Unknown files, other bytes under a known path, other stations' files, folders and hidden files stay."""
    shelf.image("known.png")
    folder = shelf.archive / "2026-01-05" / "PASS"
    (folder / "stranger.png").write_text("x")
    (folder / os.fsdecode(b"bytes_\xe4.png")).write_text("x")
    (folder / ".hidden.png").write_text("x")
    (folder / "folder.png").mkdir()
    (shelf.archive / "not-a-day.png").write_text("x")
    (folder / "known.png").write_text("other bytes")
    shelf.configure(station="cell-2", database_url=shelf.url.render_as_string(hide_password=False))
    assert figures(shelf, "prune", *EVERYTHING, "--delete")["kept_unknown"] == 2
    shelf.configure(station="cell-1", database_url=shelf.url.render_as_string(hide_password=False))
    before = shelf.files(shelf.archive)
    done = figures(shelf, "prune", *EVERYTHING, "--delete")
    assert (done["pruned"], done["kept_unknown"]) == (0, 2)
    assert shelf.files(shelf.archive) == before
    assert len(before) == 5


@pytest.mark.parametrize("calls", [0, 3])
def test_a_kill_in_the_middle_is_finished_by_the_next_prune(shelf: Shelf, calls: int) -> None:
    """After a kill -9 between the rows and the last file, the next prune finishes without a second row."""
    for n in range(6):
        shelf.image(f"{n}.png")
    words = ("prune", "--trust-clock", "--older-than", "1", "--delete")
    assert killed(shelf, "pathlib.Path.unlink", calls, *words) == -signal.SIGKILL
    assert len(shelf.files(shelf.archive)) == 6 - calls
    assert shelf.reconcile() | {"unaccounted": 0, "seen": 6} == shelf.reconcile()
    assert figures(shelf, *words)["pruned"] == 6 - calls
    assert shelf.files(shelf.archive) == set()
    assert len(shelf.rows("SELECT 1 FROM arrival WHERE outcome = 'pruned'")) == 6
    assert shelf.reconcile() | {"unaccounted": 0, "seen": 6} == shelf.reconcile()


def test_another_file_at_the_path_of_a_pruned_one_stays(shelf: Shelf) -> None:
    """Another file at the path of a pruned image is unknown to prune, and stays."""
    shelf.image("a.png")
    assert figures(shelf, "prune", "--trust-clock", "--older-than", "1", "--delete")["pruned"] == 1
    (shelf.archive / "2026-01-05" / "PASS" / "a.png").write_text("restored by hand, other bytes")
    assert figures(shelf, "prune", "--trust-clock", "--older-than", "1", "--delete")["kept_unknown"] == 1
    assert len(shelf.files(shelf.archive)) == 1


def test_files_of_cameras_with_folders_of_their_own_go_too(shelf: Shelf) -> None:
    """Retention finds the files of a station with sub-folders, which are one folder deeper."""
    shelf.image("cam1/old.png")
    shelf.image("cam2/old.png")
    shelf.image("cam1/young.png", days=1)
    shelf.image("old.png")
    shelf.unreadable("cam1/bad.png")
    stranger = shelf.archive / "2026-01-05" / "PASS" / "cam1" / "deeper" / "stranger.png"
    stranger.parent.mkdir()
    stranger.write_text("x")
    done = figures(shelf, "prune", "--trust-clock", "--older-than", "30", "--quarantined", "--delete")
    assert (done["pruned"], done["kept_young"], done["kept_unknown"]) == (4, 1, 1)
    assert shelf.files(shelf.archive) == {
        "2026-01-05/PASS/cam1/young.png",
        "2026-01-05/PASS/cam1/deeper/stranger.png",
    }


def test_no_link_leads_prune_out_of_the_archive(shelf: Shelf, tmp_path: Path) -> None:
    """Files behind a link do not belong to the archive, with any names."""
    shelf.image("old.png")
    (shelf.archive / "2026-01-05").rename(tmp_path / "elsewhere")
    (shelf.archive / "2026-01-05").symlink_to(tmp_path / "elsewhere")
    assert figures(shelf, "prune", "--trust-clock", "--older-than", "30", "--delete")["pruned"] == 0
    assert (tmp_path / "elsewhere" / "PASS" / "old.png").exists()


@pytest.mark.parametrize("newest_days", [40, 0], ids=["no image since", "and new images since"])
def test_a_clock_that_has_run_ahead_removes_nothing(shelf: Shelf, newest_days: float) -> None:
    """After more than 30 days without a row, prune asks a person to check the clock."""
    shelf.image("seconds-old.png", days=40)
    shelf.image("newest.png", days=newest_days)
    words = "prune", "--older-than", "35", "--delete"
    with pytest.raises(StationError, match=r"no file .* clock was wrong.* --trust-clock$"):
        say(shelf, *words)
    assert len(shelf.files(shelf.archive)) == 2
    assert shelf.rows("SELECT 1 FROM arrival WHERE outcome = 'pruned'") == []
    assert figures(shelf, *words, "--trust-clock")["pruned"] == (2 if newest_days else 1)


def test_a_station_without_gaps_is_pruned_by_the_clock(shelf: Shelf) -> None:
    """A row at least every 30 days up to now is enough; a gap before the period does not count."""
    for days in (200, 100, 80, 60, 40, 20, 0):
        shelf.image(f"{days}.png", days=days)
    assert figures(shelf, "prune", "--older-than", "90", "--delete")["pruned"] == 2


def test_mistakes_are_one_line(shelf: Shelf, tmp_path: Path) -> None:
    """An unknown verdict or a missing age is a usage error, and a second command at once is refused."""
    with pytest.raises(UsageError, match="--verdict 'GOOD' is not a verdict"):
        say(shelf, "prune", "--trust-clock", "--older-than", "1", "--verdict", "good")
    assert say(shelf, "prune").exit_code == 2
    by_whom = rf"another prune or requeue \(process {os.getpid()}\) is at work"
    with upkeep_lock(shelf.quarantine), pytest.raises(StationError, match=by_whom):
        say(shelf, "prune", "--trust-clock", "--older-than", "1")


def test_prune_beside_the_daemon_at_work(tmp_path: Path, tiny: Path, url_of: Callable[[str], URL]) -> None:
    """While images come in, prune removes those just archived; all are judged and none is missed."""
    station, number = Station(tmp_path, tiny, url_of("sqlite")), 40
    with running(station.start()) as daemon:
        for n in range(number):
            station.put(f"{n}.png", seed=n)
            if n % 8 == 7:
                wait_until(lambda: any(station.files(station.archive)), daemon)
                assert figures(station, "prune", *EVERYTHING, "--delete")["pruned"] > 0
        wait_until(station.is_idle, daemon)
        daemon.terminate()
        assert daemon.wait(HANG_S) == 0
    figures(station, "prune", *EVERYTHING, "--delete")
    assert station.files(station.archive) == set()
    found = station.reconcile()
    assert (found["unaccounted"], found["inspected"], found["seen"]) == (0, number, number)
    counts = "SELECT count(*), count(DISTINCT inspection_id) FROM arrival WHERE outcome = 'pruned'"
    [removed] = station.rows(counts)
    assert tuple(removed) == (number, number)
