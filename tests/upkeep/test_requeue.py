"""Requeue: quarantined files go back, are counted once, and never overwrite another file."""

from __future__ import annotations

import signal
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from managers import running, wait_until
from PIL import Image
from shelves import Shelf, figures, killed, say
from sqlalchemy.engine import URL
from stations import Station, frame
from waiting import HANG_S

from inspector.errors import FolderError, UsageError


@pytest.fixture
def shelf(tmp_path: Path, url: URL) -> Shelf:
    """Provide a station with inspected files, on each back end."""
    return Shelf(tmp_path, url)


def outcomes(station: Station, name: str) -> list[str]:
    """Return the outcomes of the files with a name, in order."""
    return [
        row.outcome
        for row in station.rows(f"SELECT outcome FROM arrival WHERE source_name = '{name}' ORDER BY id")
    ]


def test_a_file_goes_back_under_its_name(shelf: Shelf) -> None:
    """By the number of its row a file with any name goes back, waits there, and counts once."""
    number = shelf.unreadable("weld 50%25 %FF.png")
    shelf.unreadable("other.png")
    assert figures(shelf, "requeue", "--id", str(number), "--dry-run") == {
        "dry_run": True,
        "requeued": 1,
        "left": 0,
    }
    assert len(shelf.files(shelf.quarantine)) == 2
    assert figures(shelf, "requeue", "--id", str(number)) == {"dry_run": False, "requeued": 1, "left": 0}
    [back] = shelf.drop.iterdir()
    assert bytes(back).endswith(b"weld 50% \xff.png")
    assert outcomes(shelf, "weld 50%25 %FF.png") == ["quarantined", "requeued"]
    found = shelf.reconcile()
    assert (found["seen"], found["quarantined"], found["pending"], found["unaccounted"]) == (2, 1, 1, 0)


def test_reason_and_period_choose(shelf: Shelf) -> None:
    """All files of a reason, of a period or of both go back; by default none is chosen."""
    for name, reason, days in (("a", "truncated", 9), ("b", "truncated", 1), ("c", "too_large", 1)):
        shelf.unreadable(f"{name}.png", reason, days=days)
    assert figures(shelf, "requeue", "--reason", "nothing such")["requeued"] == 0
    since = shelf.rows("SELECT max(quarantined_us) - 2 * 86400000000 AS us FROM quarantine")[0].us
    begin = datetime.fromtimestamp(since / 1e6, UTC).isoformat()
    assert figures(shelf, "requeue", "--reason", "truncated", "--since", begin)["requeued"] == 1
    assert {path.name for path in shelf.drop.iterdir()} == {"b.png"}
    assert figures(shelf, "requeue", "--until", begin)["requeued"] == 1
    assert figures(shelf, "requeue", "--since", begin)["requeued"] == 1
    assert {path.name for path in shelf.drop.iterdir()} == {"a.png", "b.png", "c.png"}
    with pytest.raises(UsageError, match="say which files: --id, --reason"):
        say(shelf, "requeue")


def test_nothing_is_overwritten(shelf: Shelf) -> None:
    """If another file in the drop folder has the name, the file stays in quarantine (exit 1)."""
    first, second = shelf.unreadable("x.png"), shelf.unreadable("x.png", "too_large")
    (shelf.drop / "x.png").write_text("a new one")
    done = say(shelf, "requeue", "--id", str(first))
    assert (done.exit_code, "another file waits as x.png" in done.stderr) == (1, True)
    assert (shelf.drop / "x.png").read_text() == "a new one"
    assert outcomes(shelf, "x.png") == ["quarantined"] * 2
    (shelf.drop / "x.png").unlink()
    both = figures(shelf, "requeue", "--id", str(first), "--id", str(second), status=1)
    assert (both["requeued"], both["left"]) == (1, 1)
    assert shelf.files(shelf.quarantine) == {"2026-01-05/too_large/x.png"}
    assert shelf.reconcile() | {"seen": 2, "quarantined": 1, "pending": 1} == shelf.reconcile()


def test_a_file_goes_back_into_its_sub_folder(shelf: Shelf) -> None:
    """A file of a sub-folder goes back there; if the sub-folder is gone it stays, without a row."""
    shelf.unreadable("cam1/x.png")
    done = say(shelf, "requeue", "--reason", "truncated")
    assert (done.exit_code, "there is no folder cam1" in done.stderr) == (1, True)
    assert outcomes(shelf, "cam1/x.png") == ["quarantined"]
    (shelf.drop / "cam1").mkdir()
    assert figures(shelf, "requeue", "--reason", "truncated")["requeued"] == 1
    assert (shelf.drop / "cam1" / "x.png").is_file()


def test_a_missing_file_is_reported(shelf: Shelf) -> None:
    """An unknown row or a file that has gone back is a usage error; a missing file gets no row."""
    number = shelf.unreadable("x.png")
    with pytest.raises(UsageError, match=f"no file of quarantine row {number + 1}"):
        say(shelf, "requeue", "--id", str(number + 1))
    (shelf.quarantine / "2026-01-05" / "truncated" / "x.png").unlink()
    done = say(shelf, "requeue", "--id", str(number))
    assert (done.exit_code, "is missing; see" in done.stderr) == (1, True)
    assert outcomes(shelf, "x.png") == ["quarantined"]
    shelf.unreadable("y.png")
    say(shelf, "requeue", "--reason", "truncated")
    with pytest.raises(UsageError, match="no file of quarantine row"):
        say(shelf, "requeue", "--id", str(shelf.rows("SELECT max(id) AS id FROM quarantine")[0].id))


def test_without_a_drop_folder_no_row_is_written(shelf: Shelf) -> None:
    """An unmounted drop folder is reported before anything is written to the ledger."""
    shelf.unreadable("x.png")
    shelf.drop.rmdir()
    with pytest.raises(FolderError, match="there is no such folder"):
        say(shelf, "requeue", "--reason", "truncated")
    assert outcomes(shelf, "x.png") == ["quarantined"]


@pytest.mark.parametrize("calls", [0, 2])
def test_a_kill_in_the_middle_is_finished_by_the_next_requeue(shelf: Shelf, calls: int) -> None:
    """After a kill -9 between rows and renames, each file is pending once, and the next call finishes."""
    for n in range(5):
        shelf.unreadable(f"{n}.png")
    status = killed(
        shelf, "inspector.station.archive.Archive.give_back", calls, "requeue", "--reason", "truncated"
    )
    assert status == -signal.SIGKILL
    assert len(list(shelf.drop.iterdir())) == calls
    found = shelf.reconcile()
    assert (found["seen"], found["quarantined"], found["pending"], found["unaccounted"]) == (5, 0, 5, 0)
    assert (
        figures(shelf, "prune", "--trust-clock", "--older-than", "0", "--quarantined", "--delete")["pruned"]
        == 0
    )
    assert figures(shelf, "requeue", "--reason", "none, only what was cut short")["requeued"] == 5 - calls
    assert (len(list(shelf.drop.iterdir())), shelf.files(shelf.quarantine)) == (5, set())
    assert len(shelf.rows("SELECT 1 FROM arrival WHERE outcome = 'requeued'")) == 5
    assert shelf.reconcile() == found


def test_the_daemon_judges_or_sets_aside_again(
    tmp_path: Path, tiny: Path, url_of: Callable[[str], URL]
) -> None:
    """Beside a working daemon, a file that is still broken is quarantined again, and counts once."""
    station = Station(tmp_path, tiny, url_of("postgresql"))
    with running(station.start()) as daemon:
        station.deliver("broken.png", b"no image at all")
        for turn in range(1, 3):
            wait_until(lambda n=turn: len(outcomes(station, "broken.png")) == 2 * n - 1, daemon)
            wait_until(station.is_idle, daemon)
            assert figures(station, "requeue", "--reason", "not_an_image")["requeued"] == 1
        wait_until(lambda: len(outcomes(station, "broken.png")) == 5, daemon)
        wait_until(station.is_idle, daemon)
        daemon.terminate()
        assert daemon.wait(HANG_S) == 0
    assert outcomes(station, "broken.png") == ["quarantined", "requeued"] * 2 + ["quarantined"]
    found = station.reconcile()
    assert (found["seen"], found["quarantined"], found["pending"], found["unaccounted"]) == (1, 1, 0, 0)
    lives = figures(station, "trace", str(station.quarantine / next(iter(station.files(station.quarantine)))))
    assert [life["files"][0]["now"] for life in lives["lives"]] == ["requeued"] * 2 + [
        "is there, its bytes match"
    ]


def test_a_file_that_can_be_read_now_is_inspected(tmp_path: Path, tiny: Path, url: URL) -> None:
    """A file that was too large is inspected after the settings changed and it was requeued."""
    station = Station(tmp_path, tiny, url, max_megapixels=0.001)
    Image.fromarray(frame(1)).save(station.drop / "w.png")
    assert station.once()["quarantined"] == 1
    assert figures(station, "requeue", "--reason", "too_large")["requeued"] == 1
    station.configure(
        station="cell-1",
        artifact=str(tiny),
        database_url=url.render_as_string(hide_password=False),
        settle_s=0.05,
    )
    assert station.once()["inspected"] == 1
    assert outcomes(station, "w.png") == ["quarantined", "requeued", "inspected"]
    assert station.reconcile() | {"seen": 1, "inspected": 1, "quarantined": 0} == station.reconcile()


def test_a_crash_after_the_new_row_is_replayed_to_its_place(tmp_path: Path, tiny: Path, url: URL) -> None:
    """A requeued file that was recorded again and not moved is moved after the restart, without a new row."""
    station = Station(tmp_path, tiny, url)
    (station.drop / "broken.png").write_bytes(b"no image at all")
    assert station.once()["quarantined"] == 1
    [place] = station.files(station.quarantine)
    assert figures(station, "requeue", "--reason", "not_an_image")["requeued"] == 1
    assert station.once()["quarantined"] == 1
    # As after a power cut before the move:
    (station.quarantine / place).rename(station.drop / "broken.png")
    assert station.reconcile()["unaccounted"] == 0
    assert station.once()["quarantined"] == 1
    assert station.files(station.quarantine) == {place}
    assert outcomes(station, "broken.png") == ["quarantined", "requeued", "quarantined"]
