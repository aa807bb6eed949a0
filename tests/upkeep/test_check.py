"""``weld-inspect check``: a real trial finds each mistake of an installation, and says how to fix it."""

from __future__ import annotations

import ctypes
import errno
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest
import sqlalchemy as sa
import yaml
from catalogues import change
from PIL import Image
from sqlalchemy.engine import URL
from stations import Station
from watchdog.observers import inotify_c

from inspector import filesystems, permissions, resources
from inspector.errors import FolderError, UsageError
from inspector.ledger import schema
from inspector.settings import load
from inspector.upkeep import clock
from inspector.upkeep.check import Finding, Level, findings

_OTHER = "nobody"  # an account that every Linux has


@pytest.fixture
def drop() -> Iterator[Path]:
    """Provide a drop folder that other accounts can reach, unlike pytest's own folders."""
    folder = Path(tempfile.mkdtemp(prefix="weldnet-check-"))
    folder.chmod(0o755)
    (folder / "drop").mkdir()
    yield folder / "drop"
    shutil.rmtree(folder)


def found(station: Station, camera_user: str | None = None) -> dict[str, Finding]:
    """Return the findings by check."""
    return {finding.what: finding for finding in findings(station.config, load(station.config), camera_user)}


def test_a_damaged_sqlite_file_is_wrong(tmp_path: Path, tiny: Path, url_of: Callable[[str], URL]):
    """A file whose pages come from two databases is found, also if its tables can be opened."""
    url = url_of("sqlite")
    station = Station(tmp_path, tiny, url)
    assert found(station)["database"].level is Level.OK
    [(page,)] = station.rows("SELECT rootpage FROM sqlite_master WHERE name = 'ix_review_inspection_id'")
    with Path(str(url.database)).open("r+b") as file:
        file.seek((page - 1) * 4096)
        file.write(bytes(4096))
    finding = found(station)["database"]
    assert finding.level is Level.WRONG
    assert "is damaged" in finding.detail
    assert "restore a backup" in finding.detail


def test_a_right_station_has_nothing_wrong(tmp_path: Path, tiny: Path, url_of: Callable[[str], URL]):
    """Every check of a sound station passes, or has a note about what this machine lacks."""
    result = found(Station(tmp_path, tiny, url_of("sqlite"), min_free_gigabytes=0))
    assert list(result) == [
        "settings",
        "folders",
        "file system",
        "camera",
        "disk",
        "open files",
        "watch",
        "artifact",
        "shadow",
        "clock",
        "database",
        "names",
        "pixels",
        "results",
        "people",
        "centre",
    ]
    assert not [finding for finding in result.values() if finding.level is Level.WRONG]


def test_watches_that_are_used_up_are_found(
    tmp_path: Path, tiny: Path, url_of: Callable[[str], URL], monkeypatch: pytest.MonkeyPatch
):
    """Every folder of the cameras is tried; if the kernel refuses one, the note names the limit."""
    station = Station(tmp_path, tiny, url_of("sqlite"), subfolders=True)
    for number in range(5):
        (station.drop / f"cam{number}").mkdir()
    (station.drop / "@eaDir").mkdir()
    finding = found(station)["watch"]
    assert (finding.level, finding.detail) == (Level.OK, "6 folders can be watched")
    granted = iter([1, 2, 3])

    def limited(*_: object) -> int:
        number = next(granted, -1)
        if number < 0:
            ctypes.set_errno(errno.ENOSPC)
        return number

    monkeypatch.setattr(inotify_c, "inotify_add_watch", limited)
    finding = found(station)["watch"]
    assert finding.level is Level.NOTE
    assert finding.detail.startswith("not enough for 6 folders, so in some of them only a scan every 0.5 s")
    assert "fs.inotify.max_user_watches" in finding.detail


@pytest.mark.parametrize(
    ("pattern", "level", "says"),
    [
        (r"cam(?P<camera>\d)_(?P<part>P\d+)", Level.OK, "reads all 2 names"),
        (r"(?P<part>Q\d+)", Level.WRONG, "matches none of 2 names, such as cam"),
        (r"(?P<part>P1)_", Level.NOTE, "does not match 1 of 2 names, such as cam2_P2_99.png"),
        (r"(?P<part>P\d+)_(?P<time>\d+)", Level.NOTE, "reads no time in 2 of 2 names"),
    ],
)
def test_the_pattern_is_tried_on_the_names_that_are_there(
    tmp_path: Path, tiny: Path, url_of: Callable[[str], URL], pattern: str, level: Level, says: str
):
    """A pattern that reads all names is right, one that reads some gets a note, that reads none is wrong."""
    station = Station(tmp_path, tiny, url_of("sqlite"), name_pattern=pattern)
    station.put("cam1_P1_99.png", seed=1)
    station.put("cam2_P2_99.png", seed=2)
    finding = found(station)["names"]
    assert finding.level is level
    assert says in finding.detail


def test_what_cannot_be_changed_later_is_noted(
    tmp_path: Path, tiny: Path, url_of: Callable[[str], URL], monkeypatch: pytest.MonkeyPatch
):
    """No name_pattern, the demonstration's network and a time zone other than the machine's are notes."""
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    monkeypatch.setattr(clock, "clock_is_synchronized", lambda: False)
    try:
        url = url_of("sqlite")
        result = found(Station(tmp_path, tiny, url))
        assert (result["names"].level, result["clock"].level) == (Level.NOTE, Level.NOTE)
        assert "set it before the first image" in result["names"].detail
        assert "no time source" in result["clock"].detail
        assert "timezone is UTC, but this machine's clock shows CET" in result["clock"].detail
        monkeypatch.setattr(clock, "clock_is_synchronized", lambda: True)
        assert result["artifact"].level is Level.OK
        demo = resources.folder("deploy") / "demo" / "weldnet-synthetic.pt"
        result = found(Station(tmp_path, demo, url, timezone="Europe/Berlin", others_may_write=True))
        assert result["clock"].level is Level.OK
        assert result["artifact"].level is Level.NOTE
        assert "has only seen synthetic frames" in result["artifact"].detail
        monkeypatch.setenv("TZ", "UTC")  # a server's clock says nothing about the shop's calendar
        time.tzset()
        assert clock.other_zone(ZoneInfo("Europe/Berlin")) is None
        monkeypatch.setenv("TZ", "Europe/London")  # UTC in winter only
        time.tzset()
        assert clock.other_zone(ZoneInfo("UTC")) == "BST"
    finally:
        monkeypatch.undo()
        time.tzset()


def test_a_full_disk_and_a_clock_that_is_behind_are_wrong(
    tmp_path: Path, tiny: Path, url_of: Callable[[str], URL]
):
    """Too little disk space and a clock before the artifact's time are reported."""
    later = tmp_path / "later.pt"
    shutil.copy(tiny, later)
    os.utime(later, (4e9, 4e9))
    result = found(Station(tmp_path, later, url_of("sqlite"), min_free_gigabytes=1e9))
    assert result["disk"].level is Level.WRONG
    assert "GiB left, min_free_gigabytes is 1e+09" in result["disk"].detail
    assert result["clock"].level is Level.WRONG
    assert "timedatectl" in result["clock"].detail


def test_a_database_user_without_rights_is_wrong_and_one_with_too_many_is_noted(
    tmp_path: Path, tiny: Path, url_of: Callable[[str], URL]
):
    """The tables' owner gets a note, the daemon's role is right, and missing rights are reported."""
    url = url_of("postgresql")
    owner = sa.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with owner.connect() as connection:
        connection.exec_driver_sql((resources.folder("sql") / "roles.sql").read_text())
        for user, role in (("check_daemon", "weldnet_daemon"), ("check_reader", "weldnet_reporter")):
            connection.exec_driver_sql(f"DROP USER IF EXISTS {user}")
            connection.exec_driver_sql(f"CREATE USER {user} IN ROLE {role}")
    for user, level, says in (
        (None, Level.NOTE, "weldnet_daemon"),
        ("check_daemon", Level.OK, "can add rows and change none"),
        ("check_reader", Level.WRONG, "database"),
    ):
        station = Station(tmp_path, tiny, url.set(username=user) if user else url)
        finding = found(station)["database"]
        assert (finding.level, says in finding.detail) == (level, True), finding
    assert "the role weldnet_reviewer may add verdicts" in found(station)["people"].detail
    with owner.connect() as connection:
        connection.exec_driver_sql("DROP TRIGGER seam_review_signed ON seam_review")
    finding = found(station)["people"]
    assert (finding.level, "trigger seam_review_signed missing" in finding.detail) == (Level.NOTE, True)
    with owner.connect() as connection:  # as PostgreSQL 14 and older have it
        connection.exec_driver_sql("GRANT CREATE ON SCHEMA public TO PUBLIC")
    finding = found(Station(tmp_path, tiny, url.set(username="check_daemon")))["database"]
    assert finding.level is Level.NOTE
    assert "may create objects in the schema public" in finding.detail
    owner.dispose()


@pytest.mark.parametrize(
    "table", ["station", "model", "settings", "inspection", "quarantine", "arrival", "event"]
)
def test_a_constraint_that_refuses_the_stations_rows_is_found(
    tmp_path: Path, tiny: Path, url: URL, table: str
):
    """Check writes a row of each kind and takes it back: a shop's own constraint shows before the shift."""
    station = Station(tmp_path, tiny, url, name_pattern=r"(?P<part>P\d+)", min_free_gigabytes=0)
    assert found(station)["database"].level is not Level.WRONG
    counts = {name: len(station.rows(f"SELECT id FROM {name}")) for name in schema.metadata.tables}
    assert counts == dict.fromkeys(counts, 0) | {"station": 1}, "nothing remains but the station"
    station.configure(**yaml.safe_load(station.config.read_text()) | {"station": "cell-2"})
    refuse = {
        "sqlite": f"CREATE TRIGGER theirs BEFORE INSERT ON {table} BEGIN SELECT RAISE(ABORT, 'theirs'); END",
        "postgresql": f"ALTER TABLE {table} ADD CONSTRAINT theirs CHECK (false) NOT VALID",
    }
    change(url, lambda connection: connection.exec_driver_sql(refuse[url.get_backend_name()]))
    finding = found(station)["database"]
    assert finding.level is Level.WRONG
    assert "theirs" in finding.detail
    assert "change the constraint or trigger" in finding.detail


def test_history_without_its_triggers_is_noted(tmp_path: Path, tiny: Path, url: URL):
    """A trigger that was dropped, or switched off for a restore and not switched on again, is named."""
    station = Station(tmp_path, tiny, url)
    off = {
        "sqlite": "DROP TRIGGER inspection_no_replace",
        "postgresql": "ALTER TABLE inspection DISABLE TRIGGER inspection_no_change",
    }[url.get_backend_name()]
    change(url, lambda connection: connection.exec_driver_sql(off))
    finding = found(station)["database"]
    assert finding.level is Level.NOTE
    assert f"triggers are missing or off ({off.split()[-1]});" in finding.detail


def test_a_constraint_on_the_parts_is_tried_with_a_waiting_name(
    tmp_path: Path, tiny: Path, url_of: Callable[[str], URL]
):
    """The trial row has the part of a waiting image, also if a deferred trigger of PostgreSQL refuses it."""
    url = url_of("postgresql")
    station = Station(tmp_path, tiny, url, name_pattern=r"(?P<part>P\d+)")
    for statement in (
        "CREATE FUNCTION theirs() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN IF NEW.part = 'P13' THEN RAISE 'no_unlucky_parts'; END IF; RETURN NEW; END $$",
        "CREATE CONSTRAINT TRIGGER theirs AFTER INSERT ON inspection DEFERRABLE INITIALLY DEFERRED"
        " FOR EACH ROW EXECUTE FUNCTION theirs()",
    ):
        change(url, lambda connection, sql=statement: connection.exec_driver_sql(sql))
    assert found(station)["database"].level is not Level.WRONG
    station.put("P13.png", seed=1)
    assert "no_unlucky_parts" in found(station)["database"].detail


def test_the_camera_may_write_where_group_and_bits_are_right(drop: Path):
    """Another account can deliver if it can write and its files get the folder's group."""
    drop.chmod(0o2777)
    permissions.may_deliver(_OTHER, drop)
    drop.chmod(0o0777)
    with pytest.raises(FolderError, match=r"set-group-ID bit.*chmod g\+s"):
        permissions.may_deliver(_OTHER, drop)
    drop.chmod(0o2770)
    with pytest.raises(FolderError, match=rf"{_OTHER} may not write to .*usermod -aG"):
        permissions.may_deliver(_OTHER, drop)
    drop.parent.chmod(0o700)
    with pytest.raises(FolderError, match=rf"{_OTHER} may not pass through {drop.parent}; put the drop"):
        permissions.may_deliver(_OTHER, drop)
    with pytest.raises(UsageError, match="no account 'no-such-user'"):
        permissions.may_deliver("no-such-user", drop)


def test_files_that_the_station_cannot_read_or_move_are_wrong(drop: Path):
    """A sticky drop folder and a private file in it are reported with the fix to a user who is not root."""
    if os.geteuid() != 0:
        pytest.skip("only root can try as another user")
    (drop / "private.png").touch(mode=0o600)
    # It changes its user after the imports, because another user may not be able to read this Python.
    program = (
        "import os, sys, pathlib\nfrom inspector.permissions import may_move_from as it\n"
        "os.setgroups([]); os.setuid(int(sys.argv[2])); it(pathlib.Path(sys.argv[1]))"
    )
    for mode, says in ((0o1777, "chmod -t"), (0o0777, "private.png")):
        drop.chmod(mode)
        done = subprocess.run(
            [sys.executable, "-c", program, str(drop), str(pwd.getpwnam(_OTHER).pw_uid)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert says in done.stderr


def test_the_kind_of_a_file_system_is_the_kernels(tmp_path: Path):
    """The kind of file system is that of the system's own tool."""
    done = subprocess.run(["stat", "-f", "-c", "%T", "/proc"], capture_output=True, text=True, check=True)
    assert filesystems.file_system(Path("/proc/self")) == done.stdout.strip() == "proc"
    assert filesystems.file_system(tmp_path) != "unknown"


def test_a_results_folder_is_tried(tmp_path: Path, tiny: Path, url_of: Callable[[str], URL]):
    """If results are wanted, their folder must accept a file; the check leaves no file there."""
    station = Station(tmp_path, tiny, url_of("sqlite"), results_folder="results")
    finding = found(station)["results"]
    assert (finding.level, "No such file or directory; mount or create it" in finding.detail) == (
        Level.WRONG,
        True,
    )
    (tmp_path / "results").mkdir()
    assert found(station)["results"].level is Level.OK
    assert list((tmp_path / "results").iterdir()) == []


def test_frames_that_leave_their_upper_bits_unused_are_noted(
    tmp_path: Path, tiny: Path, url_of: Callable[[str], URL]
):
    """A camera with 12 bits in 16-bit words is found by waiting and by judged images, with the fix."""
    station = Station(tmp_path, tiny, url_of("sqlite"), min_free_gigabytes=0)
    day = station.archive / "2026-11-27" / "PASS"
    day.mkdir(parents=True)
    dim = np.random.default_rng(0).integers(0, 4096, (40, 50)).astype(np.uint16)
    for folder in (station.drop, day):
        Image.fromarray(dim).save(folder / "dim.png")
        finding = found(station)["pixels"]
        assert finding.level is Level.NOTE
        assert "12 bits" in finding.detail
        assert "data.bit_depth=12" in finding.detail
        Image.fromarray(dim << 4).save(folder / "bright.png")
        assert found(station)["pixels"].level is Level.OK
        for file in folder.iterdir():
            file.unlink()
    (station.drop / "note.png").write_bytes(b"no image")
    assert found(station)["pixels"].level is Level.OK
