"""The daemon as a whole, with a real artifact, real files, real databases, real signals and real crashes."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from managers import is_empty, stop, wait_until
from PIL import Image
from sqlalchemy.engine import URL
from stations import Station, frame
from waiting import HANG_S

from inspector.records import Arrival
from inspector.station.intake import Intake

# --- the whole way --------------------------------------------------------------------------------------


def test_each_image_gets_one_row_and_one_place(station: Station):
    """Each dropped image is judged once: its row has class and timings, and its file is at the row's path."""
    sent = {station.put(f"w{n}.png", seed=n).name: frame(n) for n in range(20)}
    totals = station.once()
    assert (totals["seen"], totals["inspected"], totals["pending"]) == (20, 20, 0)
    assert is_empty(station.drop)
    rows = station.rows(
        "SELECT source_name, archive_path, label, confidence, wait_ms, decode_ms, infer_ms, total_ms,"
        " batch_size FROM inspection"
    )
    assert {row.source_name for row in rows} == set(sent)
    for row in rows:
        with Image.open(station.archive / row.archive_path) as image:
            assert (frame(int(row.source_name[1:-4])) == image).all()
        assert row.label in ("good weld", "burn through", "contamination")
        assert 1 / 3 <= row.confidence <= 1
        assert 0 <= row.wait_ms <= row.total_ms
        assert 0 < row.decode_ms < row.total_ms
        assert 0 < row.infer_ms < row.total_ms
        assert 1 <= row.batch_size <= 8


def test_the_same_files_again_add_no_row(station: Station):
    """A file delivered twice is archived as a duplicate, and is not judged again."""
    names = [station.put(f"w{n}.png", seed=n).name for n in range(5)]
    station.once()
    for n, name in enumerate(names):
        station.put(name, seed=n)
    totals = station.once()
    assert (totals["inspected"], totals["duplicates"]) == (0, 5)
    assert len(station.rows("SELECT id FROM inspection")) == 5
    assert len([path for path in station.files(station.archive) if "/duplicate/" in path]) == 5
    assert station.reconcile()["unaccounted"] == 0


def test_new_bytes_under_an_old_name_are_a_new_image(on_sqlite: Station):
    """A camera that counts from 1 again each day loses nothing: other bytes are another inspection."""
    on_sqlite.put("w.png", seed=1)
    on_sqlite.once()
    on_sqlite.put("w.png", seed=2)
    assert on_sqlite.once()["inspected"] == 1
    assert len(on_sqlite.files(on_sqlite.archive)) == 2


def test_old_bytes_under_a_new_name_are_marked(on_sqlite: Station):
    """The same picture under another name is inspected, and its row names the one that it repeats."""
    on_sqlite.put("a.png", seed=1)
    on_sqlite.once()
    on_sqlite.put("b.png", seed=1)
    on_sqlite.once()
    rows = on_sqlite.rows("SELECT id, duplicate_of FROM inspection ORDER BY id")
    assert [row.duplicate_of for row in rows] == [None, rows[0].id]


def test_names_give_camera_part_and_seam(tmp_path: Path, tiny: Path, url: URL):
    """The row has what name_pattern finds; a name that does not match is inspected all the same."""
    pattern = r"(?P<camera>cam\d)_(?P<part>P\d+)_S(?P<seam>\d+)"
    station = Station(tmp_path, tiny, url, name_pattern=pattern)
    station.put("cam1_P42_S3.png", seed=1)
    station.put("other.png", seed=2)
    station.once()
    rows = station.rows("SELECT camera, part, seam FROM inspection ORDER BY source_name")
    assert [tuple(row) for row in rows] == [("cam1", "P42", "3"), (None, None, None)]


# --- bad input ------------------------------------------------------------------------------------------


def _hostile_files(drop: Path) -> dict[str, str]:
    """Write all kinds of bad files; return the expected reason of each, or '' if it is inspected."""
    good = Image.fromarray(frame(99))
    good.save(drop / "whole.png")
    whole = (drop / "whole.png").read_bytes()
    (drop / "whole.png").unlink()
    (drop / "truncated.png").write_bytes(whole[: len(whole) // 2])
    (drop / "empty.png").write_bytes(b"")
    (drop / "zeros.png").write_bytes(bytes(5000))
    (drop / "text.png").write_text("not a picture")
    good.save(drop / "wrongly-named.png", "JPEG")
    good.save(drop / "gif.png", "GIF")
    Image.fromarray(frame(98).astype("uint16") * 257).save(drop / "sixteen.png")
    for mode, suffix in (("RGB", "png"), ("RGBA", "png"), ("P", "png"), ("CMYK", "jpg"), ("1", "png")):
        good.convert(mode).save(drop / f"mode-{mode}.{suffix}")
    Image.new("L", (1, 1)).save(drop / "one.png")
    Image.new("1", (20_000, 20_000)).save(drop / "huge.png")
    (drop / "folder.png").mkdir()
    os.mkfifo(drop / "fifo.png")
    (drop.parent / "elsewhere.png").write_bytes(whole)
    (drop / "link.png").symlink_to(drop.parent / "elsewhere.png")
    good.save(drop / "with space.png")
    good.save(drop / "with\nnewline.png")
    (Path(os.fsdecode(os.fsencode(drop) + b"/weld_\xe4\xff.png"))).write_bytes(whole)
    good.save(drop / ("long" * 62 + ".png"))
    return {
        "truncated.png": "truncated",
        "empty.png": "empty",
        "zeros.png": "zero_filled",
        "text.png": "not_an_image",
        "wrongly-named.png": "",
        "gif.png": "format_not_allowed",
        "sixteen.png": "",
        "mode-RGB.png": "",
        "mode-RGBA.png": "",
        "mode-P.png": "",
        "mode-CMYK.jpg": "",
        "mode-1.png": "",
        "one.png": "too_small",
        "huge.png": "too_large",
        "folder.png": "not_a_file",
        "fifo.png": "not_a_file",
        "link.png": "not_a_file",
        "with space.png": "",
        "with%0Anewline.png": "",
        "weld_%E4%FF.png": "",
        "long" * 62 + ".png": "",
    }


def test_bad_files_are_set_aside_and_harm_no_other(station: Station):
    """Each bad file is inspected rightly or quarantined with its reason, and good files pass beside it."""
    expected = _hostile_files(station.drop)
    for n in range(10):
        expected[station.put(f"good{n}.png", seed=n).name] = ""
    totals = station.once()
    reasons = {
        row.source_name: row.reason for row in station.rows("SELECT source_name, reason FROM quarantine")
    }
    reasons |= {row.source_name: "" for row in station.rows("SELECT source_name FROM inspection")}
    assert reasons == expected
    assert totals["seen"] == len(expected)
    assert is_empty(station.drop)
    assert station.reconcile()["unaccounted"] == 0
    links = [path for path in station.quarantine.rglob("link*") if path.is_symlink()]
    assert [path.readlink() for path in links] == [station.folder / "elsewhere.png"]
    assert (station.folder / "elsewhere.png").is_file()  # the link was quarantined, and its target stays


def test_a_folder_of_another_program_is_left_alone(on_sqlite: Station):
    """A sub-folder that is not named like an image stays where it is, with its files."""
    (on_sqlite.drop / "camera-logs").mkdir()
    (on_sqlite.drop / "camera-logs" / "a.png").write_bytes(b"x")
    on_sqlite.put("w.png", seed=1)
    assert on_sqlite.once()["inspected"] == 1
    assert (on_sqlite.drop / "camera-logs" / "a.png").exists()


def test_a_link_in_the_place_of_a_cameras_folder_leads_nowhere(
    tmp_path: Path, tiny: Path, url_of: Callable[[str], URL], monkeypatch: pytest.MonkeyPatch
):
    """If a camera swaps its folder for a link after its files were taken, no file of the station moves."""
    station = Station(tmp_path, tiny, url_of("sqlite"), subfolders=True)
    own = [path for path in tmp_path.iterdir() if path.is_file()]
    before = {path: path.read_bytes() for path in own if path.suffix != ".db"}
    (station.drop / "cam1").mkdir()
    for path in own:
        (station.drop / "cam1" / path.name).write_bytes(b"x")
    take = Intake.take

    def take_and_swap(intake: Intake, limit: int) -> list[Arrival]:
        taken = take(intake, limit)
        if taken and not (tmp_path / "drop" / "cam1").is_symlink():
            (station.drop / "cam1").rename(station.drop / "was")
            (station.drop / "cam1").symlink_to(tmp_path)
        return taken

    monkeypatch.setattr(Intake, "take", take_and_swap)
    station.once()
    assert {path: path.read_bytes() for path in before} == before
    assert all(path.is_file() for path in own)
    assert not any(
        name in path for path in station.files(station.quarantine) for name in ("config", "quality")
    )


# --- crashes and stops ----------------------------------------------------------------------------------


def test_a_file_recorded_but_not_moved_goes_to_its_recorded_place(station: Station):
    """After a crash between commit and move, the next start moves the file, and adds no row."""
    station.put("w.png", seed=1)
    (station.drop / "bad.png").write_text("no picture")
    station.once()
    places = station.files(station.archive), station.files(station.quarantine)
    shutil.move(station.archive / next(iter(places[0])), station.drop / "w.png")
    shutil.move(station.quarantine / next(iter(places[1])), station.drop / "bad.png")
    assert station.reconcile()["unaccounted"] == 0
    station.once()
    assert (station.files(station.archive), station.files(station.quarantine)) == places
    assert len(station.rows("SELECT id FROM arrival")) == 2
    assert len(station.rows("SELECT id FROM inspection")) == 1
    assert len(station.rows("SELECT id FROM quarantine")) == 1


def test_kill_9_while_files_stream_in_loses_and_doubles_nothing(station: Station):
    """After a kill at any moment, the next run ends with one row and one place for each file.

    A file that the decoder has open at two kills in a row goes to quarantine, as if it had caused them.
    """
    sent = 0
    for round_ in range(3):
        daemon = station.start()
        for _ in range(30):
            station.put(f"w{sent}.png", seed=sent)
            sent += 1
        wait_until(lambda r=round_: len(station.files(station.archive)) > 30 * r + 3, daemon)
        daemon.kill()
        daemon.communicate()
    station.once()
    inspected = [row.source_name for row in station.rows("SELECT source_name FROM inspection")]
    convicted = station.rows("SELECT source_name, path FROM quarantine WHERE reason = 'decoder_crash'")
    names = sorted(inspected + [row.source_name for row in convicted])
    assert names == sorted(f"w{number}.png" for number in range(sent))
    assert len(station.files(station.archive)) == len(inspected)
    assert all((station.quarantine / row.path).is_file() for row in convicted)
    assert station.reconcile()["unaccounted"] == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_finishes_what_was_taken(on_sqlite: Station, number: int):
    """On SIGTERM and SIGINT the daemon ends with status 0; each file is archived or still in the folder."""
    daemon = on_sqlite.start()
    for n in range(60):
        on_sqlite.put(f"w{n}.png", seed=n)
    wait_until(lambda: on_sqlite.archive.exists() and not is_empty(on_sqlite.archive), daemon)
    status, log = stop(daemon, number)
    assert status == 0, log
    archived, waiting = len(on_sqlite.files(on_sqlite.archive)), len(on_sqlite.files(on_sqlite.drop))
    assert archived == len(on_sqlite.rows("SELECT id FROM inspection"))
    assert archived + waiting == 60


def test_a_second_daemon_is_refused(on_sqlite: Station):
    """A second daemon for the drop folder ends with status 2, and names the process that has the lock."""
    daemon = on_sqlite.start()
    try:
        wait_until(lambda: bool(on_sqlite.rows("SELECT id FROM event WHERE kind = 'start'")), daemon)
        second = on_sqlite.command("once")
        assert second.returncode == 2
        assert str(daemon.pid) in second.stderr
    finally:
        stop(daemon)


def test_systemd_hears_ready_status_and_stopping_in_order(on_sqlite: Station, tmp_path: Path):
    """READY comes before any status, the watchdog is fed while idle, STOPPING comes last."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(HANG_S)
        daemon = on_sqlite.start(NOTIFY_SOCKET=str(tmp_path / "notify"), WATCHDOG_USEC="400000")
        heard = []
        while heard.count("WATCHDOG=1") < 3:
            heard.append(manager.recv(4096).decode())
        daemon.send_signal(signal.SIGTERM)
        while heard[-1] != "STOPPING=1":
            heard.append(manager.recv(4096).decode())
        log = daemon.communicate(timeout=HANG_S)[1]
        assert daemon.returncode == 0, log
    assert heard[0] == "READY=1"
    assert heard.count("READY=1") == 1
    assert any(message.startswith("STATUS=0 inspected") for message in heard)


# --- a file that kills the decoder ----------------------------------------------------------------------


def test_a_file_that_kills_the_decoder_twice_is_quarantined(on_sqlite: Station):
    """A file that is open at two crashes in a row goes to quarantine; other files do not."""
    large = on_sqlite.folder / "large.jpg"  # a second: time to die in
    Image.fromarray(frame(1, 6900, 7000)).save(large, "JPEG", quality=95, progressive=True)
    for n in range(2):
        on_sqlite.put(f"innocent{n}.png", seed=n)
    for attempt in itertools.count():  # the daemon may be quicker than this test on a loaded host
        killer = f"killer{attempt}.png"
        shutil.copy(large, on_sqlite.drop / killer)
        # The second daemon first notes the first one's crash.
        if all(dies_decoding(on_sqlite, killer, mark) for mark in ("+", "!")):
            break
    totals = on_sqlite.once()
    assert totals["quarantined"] == 1
    rows = on_sqlite.rows("SELECT source_name, reason FROM quarantine")
    assert [tuple(row) for row in rows] == [(killer, "decoder_crash")]
    assert len(on_sqlite.rows("SELECT id FROM inspection WHERE source_name LIKE 'innocent%'")) == 2
    assert not (on_sqlite.quarantine / ".decoding").exists()
    assert on_sqlite.reconcile()["unaccounted"] == 0


def dies_decoding(station: Station, name: str, mark: str) -> bool:
    """Whether a new daemon could be killed while it decoded a file, once its journal had this mark for it."""
    journal = station.quarantine / ".decoding"
    daemon = station.start()
    wait_until(
        lambda: journal.exists() and {f"{mark}{name}", f"+{name}"} <= set(journal.read_text().split()), daemon
    )
    daemon.kill()
    daemon.communicate()
    return f"-{name}" not in journal.read_text()
