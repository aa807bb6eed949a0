"""SQLite files that are wrong, on a wrong file system, or of another account."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from ledger_samples import in_force, inspected

from inspector import filesystems
from inspector.errors import SchemaError, StoreUnavailable, UsageError
from inspector.ledger import database, sqlite
from inspector.ledger.ledger_file import LedgerFile
from inspector.ledger.store import Store, migrate


def test_a_file_that_is_no_database_is_refused_untouched(tmp_path: Path) -> None:
    """A text file named in database_url gives one line in store and migrate, and is not changed."""
    file = tmp_path / "notes.txt"
    file.write_text("These are notes about the welding cell, and no database.\n" * 50)
    before = file.read_bytes()
    for use in (migrate, lambda url: Store.open(url, "c", seam_gap_s=1)):
        with pytest.raises(SchemaError, match=r"notes\.txt: is not a sound SQLite database") as caught:
            use(f"sqlite:///{file}")
        assert "\n" not in str(caught.value)
    assert file.read_bytes() == before


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    """Migrate creates no folders: it reports a mistyped path."""
    with pytest.raises(UsageError, match="its folder is missing"):
        migrate(f"sqlite:///{tmp_path / 'nowhere' / 'q.db'}")


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "fuse.sshfs"])
def test_sqlite_on_a_network_file_system_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """If the kernel's mount table names a network file system, no command opens SQLite on it."""
    table = tmp_path / "mountinfo"
    table.write_text(
        "22 1 254:1 / / rw - ext4 /dev/vda1 rw\n"
        f"40 22 0:44 / {tmp_path / 'far'} rw,relatime shared:9 - {kind} server:/export rw\n"
    )
    monkeypatch.setattr(filesystems, "_MOUNTS", table)
    (tmp_path / "far" / "deep").mkdir(parents=True)
    for use in (migrate, lambda url: Store.open(url, "c", seam_gap_s=1), reports_of):
        with pytest.raises(UsageError, match=rf"q\.db is on {kind}: SQLite loses data .* or use PostgreSQL"):
            use(f"sqlite:///{tmp_path / 'far' / 'deep' / 'q.db'}")
    migrate(f"sqlite:///{tmp_path / 'near.db'}")


def reports_of(url: str) -> None:
    """Open a database as the reports do."""
    with database.reading(url):
        pass


def test_a_file_of_somebody_else_is_a_usage_error() -> None:
    """A database that this user may not write or see is refused, because waiting would not help."""
    script = (
        "import os, sys\n"
        "from inspector.errors import UsageError\n"
        "from inspector.ledger.store import Store\n"
        "if os.geteuid() == 0: os.setresuid(65534, 65534, 65534)\n"
        "for url in sys.argv[1:]:\n"
        "    try: Store.open(url, 'c', seam_gap_s=1)\n"
        "    except UsageError as error: print(error)\n"
    )
    with tempfile.TemporaryDirectory() as name:  # not below tmp_path, which other users cannot enter
        Path(name).chmod(0o755)
        files = [Path(name) / mode / "q.db" for mode in ("555", "500", "777")]
        for file in files:
            file.parent.mkdir()
            migrate(f"sqlite:///{file}")
            file.chmod(0o444)
            file.parent.chmod(int(file.parent.name, 8))
        command = [sys.executable, "-c", script, *(f"sqlite:///{file}" for file in files)]
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
        for file, what in zip(files, ("its folder", "its folder", "this file"), strict=True):
            assert f"{file}: this user may not use {what}" in ran.stdout, ran.stderr
            file.parent.chmod(0o755)


def test_a_reader_without_the_right_to_write_reads_a_stopped_stations_sqlite(tmp_path: Path) -> None:
    """SQLite's own files beside the database are gone then, and such a reader cannot make them."""
    script = (
        "import os, sys\n"
        "import sqlalchemy as sa\n"
        "from inspector.ledger import database\n"
        "if os.geteuid() == 0: os.setresuid(65534, 65534, 65534)\n"
        "with database.reading(sys.argv[1]) as engine, database.transaction(engine) as connection:\n"
        "    print(connection.execute(sa.text('SELECT count(*) FROM inspection')).scalar())\n"
    )
    with tempfile.TemporaryDirectory() as name:  # not below tmp_path, which other users cannot enter
        file = Path(name) / "q.db"
        migrate(f"sqlite:///{file}")
        with Store.open(f"sqlite:///{file}", "cell-1", seam_gap_s=300) as store:
            store.record([inspected()], in_force(store))
        file.chmod(0o444)
        Path(name).chmod(0o555)
        command = [sys.executable, "-c", script, f"sqlite:///{file}"]
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
        Path(name).chmod(0o755)
        assert ran.stdout.strip() == "1", ran.stderr


def test_a_station_that_starts_under_such_a_reader_is_noticed(tmp_path: Path) -> None:
    """What it read may be half of a change, so the command is to be run again."""
    file = tmp_path / "q.db"
    ledger = LedgerFile(file, sqlite.driver(), immutable=True)
    ledger.require()
    (tmp_path / "q.db-wal").touch()
    with pytest.raises(StoreUnavailable, match="has begun to write to it; run the command again"):
        ledger.require()
